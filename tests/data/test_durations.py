"""Lengths of recordings, from a table and from the recordings themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from sed.data.durations import read_durations
from sed.data.tables import write_durations_tsv
from sed.errors import UserError

LENGTHS = {"monday 01": 1.5, "deep": 0.25}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sounds" / "more").mkdir(parents=True)
    soundfile.write(tmp_path / "sounds" / "monday 01.wav", np.zeros(24000), 16000)
    soundfile.write(tmp_path / "sounds" / "more" / "deep.flac", np.zeros((11025, 2)), 44100)
    (tmp_path / "sounds" / "monday 01.txt").write_text("0.1\t0.2\tdoor\n")
    return tmp_path / "sounds"


def test_a_folder_of_recordings_gives_the_durations_of_their_table(folder: Path, tmp_path: Path) -> None:
    write_durations_tsv(tmp_path / "durations.tsv", LENGTHS)
    assert read_durations(folder) == read_durations(tmp_path / "durations.tsv") == LENGTHS


def test_a_folder_without_recordings_or_with_two_of_one_name_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no recordings in this folder"):
        read_durations(tmp_path / "empty")
    (folder / "more" / "monday 01.wav").write_bytes((folder / "monday 01.wav").read_bytes())
    with pytest.raises(UserError, match=r"has the name of .*monday 01\.wav"):
        read_durations(folder)
