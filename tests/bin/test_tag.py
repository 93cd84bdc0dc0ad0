import sys

import numpy as np
import pytest
import soundfile
import torch

from sed.bin import tag
from sed.checkpoints.ast_layouts import export_published
from sed.checkpoints.pretrained import load_tagger
from sed.features.logmel import FrontEnd
from sed.models.tagger import build_tagger

SIZES = ["--ast-dim", "24", "--ast-heads", "2", "--ast-depth", "2", "--input-frames", "112"]


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Return a function that tags with a tiny checkpoint and returns exit code, output and error."""
    monkeypatch.setattr(sys, "argv", ["tag", *SIZES, "x.wav"])
    config = {**vars(tag.parse()), "pretrained": str(tmp_path / "ast.pth")}
    torch.manual_seed(0)
    tagger = build_tagger(config, 3)
    torch.save(export_published(tagger.encoder, tagger.head), tmp_path / "ast.pth")

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["tag", *SIZES, "--pretrained", config["pretrained"], *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            tag.main()
        return stopped.value.code, *capsys.readouterr()

    call.config = config
    return call


def test_the_most_probable_classes_are_printed(run, tmp_path):
    (tmp_path / "class_labels_indices.csv").write_text("index,mid,display_name\n0,/m/0,A\n1,/m/1,B\n2,/m/2,C\n")
    noise = 0.1 * np.random.default_rng(0).standard_normal(16000).astype(np.float32)
    soundfile.write(tmp_path / "one.wav", noise, 16000, subtype="FLOAT")
    code, out, err = run("--top", 2, tmp_path / "one.wav")
    assert code == 0 and err == ""
    lines = [line.split("\t") for line in out.splitlines()]
    front_end = FrontEnd()
    x = front_end.normalise(front_end(torch.from_numpy(noise).unsqueeze(0)), None, 112, "raw")
    with torch.inference_mode():
        posteriors = load_tagger(run.config)[0](x)[0].sigmoid()
    best = posteriors.argsort(descending=True)[:2].tolist()
    assert [line[1] for line in lines] == ["ABC"[index] for index in best]
    assert float(lines[0][2]) == pytest.approx(posteriors[best[0]].item(), abs=1e-4)


def test_posteriors_of_a_long_recording_are_the_mean_over_equal_windows(run, tmp_path):
    sound = np.linspace(0, 1, 5 * 16000) * np.random.default_rng(0).standard_normal(5 * 16000)
    soundfile.write(tmp_path / "long.wav", sound.astype(np.float32), 16000, subtype="FLOAT")
    code, out, err = run(tmp_path / "long.wav")
    assert code == 0 and "numbers are printed instead" in err  # no names beside this checkpoint
    front_end, tagger = FrontEnd(), load_tagger(run.config)[0]
    with torch.inference_mode():
        logmel = front_end(torch.from_numpy(sound.astype(np.float32))[None])
        windows = [front_end.normalise(window, None, 112, "raw") for window in logmel.tensor_split(5, dim=1)]
        expected = sum(tagger(window)[0].sigmoid() for window in windows) / 5
    found = {name: float(posterior) for _, name, posterior in (line.split("\t") for line in out.splitlines())}
    assert found == pytest.approx({f"class {k}": value for k, value in enumerate(expected.tolist())}, abs=1e-4)


def test_an_encoder_of_another_kind_that_was_pre_trained_here_is_refused(run, tmp_path):
    torch.save({"pretrained.cnn.encoder.w": torch.zeros(1), "pretrained.cnn.head.linear.bias": torch.zeros(3)},
               tmp_path / "cnn.pt")  # fmt: skip
    code, _, err = run("--pretrained", tmp_path / "cnn.pt", tmp_path / "one.wav")
    assert code == 2 and "cnn.pt: for encoder 'cnn', the config's is 'ast' (give an AST" in err


def test_recordings_that_are_too_short_or_missing_or_not_audio_are_named(run, tmp_path):
    soundfile.write(tmp_path / "short.wav", np.zeros(399), 16000)
    (tmp_path / "text.wav").write_text("no audio")
    for file in ("short.wav", "text.wav", "missing.wav"):
        code, out, err = run(tmp_path / file)
        assert code == 2 and out == "" and err.splitlines()[-1].startswith("tag: ") and file in err
