"""Audio files that commands write: bytes as from libsndfile, any name, and a correct message about a full disk."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sounds import beep, limited_files

from sed.data.audio import inspect
from sed.data.prepare.clips import cut_recording
from sed.data.sound_files import write_sound
from sed.errors import UserError


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_bytes_are_libsndfiles_own(suffix: str, tmp_path: Path) -> None:
    samples = np.stack([beep(16000, 1.0), -beep(16000, 1.0)], 1)
    write_sound(tmp_path / f"a{suffix}", samples, 16000)
    soundfile.write(tmp_path / f"b{suffix}", samples, 16000, subtype="PCM_16")
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_a_file_whose_name_is_not_utf_8_is_written(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"k\xfcche.flac")
    write_sound(path, beep(16000, 1.0), 16000)
    assert inspect(path) == (1.0, "")
    soundfile.write(tmp_path / "long.wav", beep(16000, 3.0), 16000)
    folder = tmp_path / os.fsdecode(b"clips\xff")
    folder.mkdir()
    assert len(cut_recording(tmp_path / "long.wav", folder, name="long", window=1.0)) == 3
    assert len(list(folder.iterdir())) == 3


@pytest.mark.parametrize(("channels", "rate"), [(10, 16000), (1, 800_000)])
def test_a_format_that_cannot_hold_a_recording_is_not_blamed_on_the_recording(
    tmp_path: Path, channels: int, rate: int
) -> None:
    soundfile.write(tmp_path / "good.wav", np.full((rate, channels), 0.1), rate)
    with pytest.raises(UserError, match=rf"0_1.000\.flac: FLAC cannot hold {channels} channels at {rate} Hz"):
        cut_recording(tmp_path / "good.wav", tmp_path, name="good", window=1.0)


def test_a_full_disk_is_not_blamed_on_the_recording(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "good.wav", beep(16000, 3.0), 16000)
    (tmp_path / "clips").mkdir()
    with limited_files(500), pytest.raises(OSError) as failure:
        cut_recording(tmp_path / "good.wav", tmp_path / "clips", name="good", window=1.0)
    assert Path(failure.value.filename).parent == tmp_path / "clips"
    assert not list((tmp_path / "clips").iterdir())
