import json
import sys

import numpy as np
import pytest
import soundfile

from sed.bin import dump_features, evaluate_tagger, pretrain
from sed.data.directory import write_scp
from sed.data.tables import write_durations_tsv, write_tags_tsv
from sed.files import lock

LABELS = ["High", "Low"]
FRONT_END = ["--mel-bins", "32", "--clip-seconds", "2"]
SIZES = "--input-frames 208 --ast-dim 16 --ast-depth 1 --ast-heads 2 --ast-blocks 1 --stride-freq 16 --stride-time 16"
SHORT = f"{SIZES} --batch-size 8 --epochs 1 --constant-epochs 1 --lr 1e-2 --procedural 0 --filter-augment none"


@pytest.fixture
def dump_tones(tmp_path, monkeypatch):
    """Eight dumped clips that have one of two tones."""
    folder = tmp_path / "dump" / "validation"
    folder.mkdir(parents=True)
    (folder.parent / "labels.txt").write_text("".join(f"{label}\n" for label in LABELS))
    rng = np.random.default_rng(0)
    wavs, tags = {}, {}
    for i in range(8):
        wavs[f"clip{i}"] = str(tmp_path / f"clip{i}.wav")
        tags[f"clip{i}"] = (LABELS[i % 2],)
        tone = np.sin(2 * np.pi * (3000, 300)[i % 2] * np.arange(16000) / 16000)
        clip = 0.01 * rng.normal(size=32000)
        clip[2000 * i : 2000 * i + 16000] += 0.3 * tone
        soundfile.write(wavs[f"clip{i}"], clip, 16000)
    write_scp(folder / "wav.scp", wavs)
    write_tags_tsv(folder / "tags.tsv", tags, ".wav")
    write_durations_tsv(folder / "durations.tsv", dict.fromkeys(wavs, 2.0), ".wav")
    assert run(monkeypatch, dump_features, *FRONT_END, folder / "wav.scp", folder / "feats.1.h5") == 0
    (folder / "feats.1.scp").rename(folder / "feats.scp")
    return folder


@pytest.fixture
def bank(tmp_path):
    for split in ("train", "validation"):
        for label, hertz in zip(LABELS, (3000, 300), strict=True):
            folder = tmp_path / "bank" / split / "foreground" / label
            folder.mkdir(parents=True)
            soundfile.write(folder / "tone.wav", np.sin(2 * np.pi * hertz * np.arange(16000) / 16000), 16000)
    return tmp_path / "bank"


def run(monkeypatch, module, *args):
    monkeypatch.setattr(sys, "argv", ["x", *map(str, args)])
    try:
        return module.main() or 0
    except SystemExit as stop:
        return stop.code


@pytest.mark.thorough
def test_a_tagger_is_scored_on_a_dumped_set_by_its_own_config(bank, tmp_path, monkeypatch, capsys, dump_tones):
    out = tmp_path / "ast.pth"
    assert run(monkeypatch, pretrain, *SHORT.split(), *FRONT_END, "--steps-per-epoch", "60", bank, out) == 0
    assert run(monkeypatch, evaluate_tagger, "--out", tmp_path / "map.json", out, dump_tones) == 0
    result = json.loads((tmp_path / "map.json").read_text())
    # chance is 0.5: each label has half of the clips
    assert result["map"] > 0.9 and result["clips"] == 8 and set(result["ap"]) == set(LABELS)
    assert "mean" in capsys.readouterr().out
    out.with_suffix(".yaml").unlink()
    assert run(monkeypatch, evaluate_tagger, out, dump_tones) == 2
    assert "no such config" in capsys.readouterr().err


def test_the_file_is_written_before_the_table_is_printed_so_that_head_cannot_prevent_it(tmp_path, monkeypatch):
    for name in ("ast.pth", "ast.yaml"):
        (tmp_path / name).touch()
    out, written = tmp_path / "map.json", []
    monkeypatch.setattr("sed.checkpoints.defaults.read_model_config", lambda _: {})
    monkeypatch.setattr("sed.training.pretraining.tagging.average_precisions", lambda *_, **__: ({"High": 0.5}, 8))
    monkeypatch.setattr(evaluate_tagger, "print", lambda _: written.append(out.exists()), raising=False)
    assert run(monkeypatch, evaluate_tagger, "--out", out, tmp_path / "ast.pth", tmp_path) == 0
    assert written == [True, True]  # at the lines of High and of the mean


def test_pretraining_locks_its_checkpoint_and_not_the_folder(bank, tmp_path, monkeypatch, capsys):
    args = [*SHORT.split(), *FRONT_END, "--steps-per-epoch", "1", bank, tmp_path / "ast.pth"]
    with lock(tmp_path, "ast"):
        assert run(monkeypatch, pretrain, *args) == 2
    assert "ast: another run is using it" in capsys.readouterr().err
    with lock(tmp_path):  # a corpus is made in it (egs/real_sounds/run.sh on a GPU)
        assert run(monkeypatch, pretrain, *args) == 0
    assert (tmp_path / "ast.pth").exists()
