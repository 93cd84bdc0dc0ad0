"""A tiny detector with random weights, saved as an experiment or packed."""

import json
import sys

import numpy as np
import pytest
import soundfile
import torch

from sed.checkpoints.checkpoint import save_checkpoint
from sed.config import Parser
from sed.features import logmel
from sed.models import detector

LABELS = ["Dog", "Speech", "<script>", "a&b"]
# options of each kind of detector
TINY = {
    "ast": "--ast-dim 24 --ast-depth 1 --ast-blocks 1 --ast-heads 2 --gru-units 12 --gru-layers 1 --stride-freq 16"
    " --fte-blocks 1",
    "crnn": "--encoder crnn --front-end stft --frame-length 0.128 --frame-shift 0.016 --normaliser minmax"
    " --input-frames 626 --upsample 1 --pooling mean --gru-units 12 --crnn-width 0.125 --f-min 0",
}


def save_tiny(folder, kind="ast", labels=LABELS, options=""):
    """Save a tiny detector as the experiment `folder` and return it; `options`: more options, each after a blank."""
    parser = Parser("tiny")
    parser.options_of("sed.models.detector")
    parser.options_of("sed.features.logmel")
    config = vars(parser.parse_args(f"{TINY[kind]}{options}".split()))
    torch.manual_seed(0)
    model = detector.build_detector(config, len(labels)).eval()
    front_end = logmel.FrontEnd.from_config(config)
    norms = [module for module in model.modules() if isinstance(module, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d))]
    with torch.no_grad():
        features = front_end(torch.from_numpy(sounds(10))[None])
        x = front_end.normalise(features, None, model.input_frames, model.input_padding)
        for norm in norms:  # statistics of these sounds; with the initial ones a narrow CNN's output ignores its input
            norm.momentum = 1.0
            norm.train()
        model(x)
        logits = model.eval()(x).logits[0]  # scaled so that posteriors vary about 0.5, and there are events
        spread = logits.std(0) / 2
        model.classifier.bias.sub_(logits.mean(0)).div_(spread)
        model.classifier.weight.div_(spread[:, None])
    folder.mkdir(exist_ok=True)
    save_checkpoint(
        folder / "final.pt",
        {
            "student": model.state_dict(),
            "teacher": model.state_dict(),
            "optimizer": {},
            "step": 1,
            "config": config,
            "labels": labels,
            "front_end": front_end.params(),
            "info": {"seed": 0},
        },
    )
    return folder


def call(module, *args):
    """Run the entry point of a module of sed.bin with these arguments; return its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [module.__name__, *map(str, args)])
        with pytest.raises(SystemExit) as done:
            module.main()
    return done.value.code


def pack_tiny(folder):
    """Write into `folder` a tiny experiment with a result of stage 5, `exp`, and its packed model, `model`."""
    from sed.bin import pack

    experiment = save_tiny(folder / "exp")
    (experiment / "validation").mkdir()
    result = {
        "post_processing": {"steps": ["weak_mask", "median"], "median_seconds": dict.fromkeys(LABELS, 0.11)},
        "threshold": dict.fromkeys(LABELS, 0.4),
        "event_f1_macro": 0.1234,
        "clips": 9,
        "clips_expected": 10,
    }
    (experiment / "validation" / "result.json").write_text(json.dumps(result))
    assert call(pack, "--licence", "CC0", "--data", "bursts", experiment, folder / "model") == 0
    return folder


def sounds(seconds, rate=16000, seed=0):
    """Return noise bursts and tones over a quiet floor: (samples,) float32."""
    rng = np.random.default_rng(seed)
    count = round(seconds * rate)
    t = np.arange(count) / rate
    audio = 0.002 * rng.standard_normal(count)
    for begin in np.arange(0.2, seconds, 1.3):
        inside = (t >= begin) & (t < begin + rng.uniform(0.1, 1.2))
        tone = np.sin(2 * np.pi * rng.uniform(200, min(4000, rate / 2.5)) * t)
        audio += inside * rng.uniform(0.05, 0.5) * (tone if rng.random() < 0.5 else rng.standard_normal(count))
    return np.clip(audio, -1, 1).astype(np.float32)


def write_sounds(path, seconds, rate=16000, seed=0, channels=1, **kwargs):
    """Write `sounds` by libsndfile, the same in all channels; return the path."""
    audio = sounds(seconds, rate, seed)
    soundfile.write(path, np.repeat(audio[:, None], channels, 1), rate, **kwargs)
    return path
