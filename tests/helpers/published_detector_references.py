"""Outputs of PretrainedSED's own code on made-up checkpoints and sounds, recorded for tests to compare with.

usage: PYTHONPATH=.:tests/helpers PRETRAINED_SED=<checkout of fschmid56/PretrainedSED> \\
           python3 tests/helpers/published_detector_references.py  # writes them

With --published it writes nothing, but compares ours with theirs at the published size. The checkout's requirements
have to be installed (torchaudio, einops, timm). Their front end gets one clip at a time, since the clips of a batch
would share one floor.
"""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from typing import Any

import torch
from encoder_parity import RECORDED, recorded, sounds
from published_detectors import config_of, detected, made_up
from torch import Tensor, nn

SMALL = {"dim": 32, "depth": 2, "heads": 2}
PUBLISHED = {"dim": 768, "depth": 12, "heads": 12}
SECONDS = 10.0


def posteriors(encoder: str, size: dict[str, Any], waveforms: Tensor) -> Tensor:
    """Return the posteriors (batch, 250, 447) of their whole model, front end and head included."""
    from models.prediction_wrapper import PredictionsWrapper

    model = PredictionsWrapper(_base(encoder, **size), checkpoint=None, embed_dim=size["dim"])
    missing, unexpected = model.load_state_dict(made_up(config_of(encoder, **size)), strict=False)
    assert not unexpected and all("mel" in name or "fbank" in name for name in missing), (missing, unexpected)
    model.eval()
    with torch.inference_mode():
        strong, _ = model(torch.cat([model.mel_forward(clip[None]) for clip in waveforms]))
    return strong.sigmoid().transpose(1, 2)


def _base(encoder: str, *, dim: int, depth: int, heads: int) -> nn.Module:
    """Return their wrapper around an encoder of this size."""
    if encoder == "atst_frame":
        from models.atstframe.ATSTF_wrapper import ATSTWrapper
        from models.atstframe.audio_transformer import FrameAST

        wrapper = ATSTWrapper()
        wrapper.atst = FrameAST(
            patch_h=64,
            patch_w=4,
            embed_dim=dim,
            depth=depth,
            num_heads=heads,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
        )
        return wrapper
    from models.beats.BEATs import BEATs, BEATsConfig
    from models.beats.BEATs_wrapper import BEATsWrapper

    wrapper = BEATsWrapper()
    settings = BEATsConfig()
    settings.encoder_embed_dim, settings.encoder_ffn_embed_dim = dim, 4 * dim
    settings.encoder_layers, settings.encoder_attention_heads = depth, heads
    wrapper.beats = BEATs(settings)
    return wrapper


def main() -> None:
    sys.path.insert(0, os.environ["PRETRAINED_SED"])
    waveforms = sounds(SECONDS)
    if "--published" in sys.argv:
        for encoder in ("atst_frame", "beats"):
            theirs, ours = posteriors(encoder, PUBLISHED, waveforms), detected(encoder, PUBLISHED, waveforms)
            print(f"{encoder}: posteriors differ by at most {(theirs - ours).abs().max():.1e}")
        return
    found = {encoder: recorded(posteriors(encoder, SMALL, waveforms)) for encoder in ("atst_frame", "beats")}
    (RECORDED / "pretrained_sed.json").write_text(
        json.dumps({"size": SMALL, "seconds": SECONDS, "posteriors": found}, indent=1)
    )


if __name__ == "__main__":
    main()
