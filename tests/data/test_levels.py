"""Levels of sets, measured on features of sounds with known levels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_model import call

from sed.bin import compare_levels
from sed.data.levels import level, spread
from sed.data.store import FeatureStore, FeatureWriter
from sed.features.logmel import FrontEnd

KINDS = {
    "kaldi": {"mel_bins": 32, "clip_seconds": 1},
    "stft": {"front_end": "stft", "frame_length": 0.128, "frame_shift": 0.016, "mel_bins": 32, "clip_seconds": 1},
}


def dump(folder: Path, front_end: FrontEnd, gain: float, clips: int = 5) -> Path:
    """Dump a set of white noise with this standard deviation; some clips are shorter than a row of the store."""
    rng = np.random.default_rng(len(folder.name))  # other noise for the other set: names differ in length
    names = [f"c{i}" for i in range(clips)]
    folder.mkdir(parents=True)
    with FeatureWriter(
        folder / "feats.1.h5",
        clips=names,
        frames=front_end.clip_frames,
        bins=front_end.mel_bins,
        front_end=front_end.params(),
    ) as writer:
        for i in range(clips):
            sound = gain * rng.standard_normal(16000 - 1500 * i).astype(np.float32)
            writer.write(front_end(torch.from_numpy(sound)[None])[0].half().numpy())
    (folder / "feats.scp").write_text("".join(f"{name} feats.1.h5:{i}\n" for i, name in enumerate(names)))
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_a_level_is_in_decibels(kind: str, tmp_path: Path) -> None:
    front_end = FrontEnd(**KINDS[kind])
    loud, quiet = (dump(tmp_path / name, front_end, gain) for name, gain in (("loud", 0.1), ("quiet", 0.01)))
    found = [level(FeatureStore(folder), front_end.decibel) for folder in (loud, quiet)]
    assert found[0] - found[1] == pytest.approx(20, abs=0.3)


def test_levels_are_given_only_if_sets_are_far_apart() -> None:
    assert spread({"a": -3.0, "b": 7.0}) is None and spread({"a": 1.0}) is None
    assert spread({"synth": -30.2, "weak": -9.0, "real": -9.2}) == "weak 0, real 0, synth -21 dB"


def test_the_command_warns_in_one_line_and_not_after_peak_normalisation(tmp_path: Path, capsys) -> None:
    for name, options in (("plain", {}), ("even", {"wave_norm": "peak"})):
        front_end = FrontEnd(**KINDS["kaldi"], **options)
        sets = [dump(tmp_path / name / which, front_end, gain) for which, gain in (("weak", 0.1), ("synth", 0.01))]
        assert call(compare_levels, *sets) == 0
        out, err = capsys.readouterr()
        if name == "plain":
            assert out == "" and err.count("\n") == 1 and "weak 0, synth -20 dB" in err and "wave_norm: peak" in err
        else:
            assert out == err == ""


def test_sets_of_one_name_in_two_folders_are_both_compared(tmp_path: Path, capsys) -> None:
    front_end = FrontEnd(**KINDS["kaldi"])
    sets = [dump(tmp_path / corpus / "weak", front_end, gain) for corpus, gain in (("quiet", 0.01), ("loud", 0.1))]
    assert call(compare_levels, *sets) == 0
    assert f"{sets[1]} 0, {sets[0]} -20 dB" in capsys.readouterr().err
