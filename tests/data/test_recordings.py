import logging
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sed.data.download.audioset import index
from sed.data.prepare import data_directory, own_recordings
from sed.data.recordings import FOREIGN, SUFFIXES, find_recordings, recordings_of
from sed.data.synthesis.soundbank import SoundBank
from sed.data.synthesis.split_bank import sources
from sed.evaluation.reports.timeline import Sources
from sed.prediction.sources import find_recordings as predicted


def names(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in find_recordings(folder).paths]


def test_links_are_followed_once_and_hidden_files_counted(tmp_path):
    inside, outside = tmp_path / "rec", tmp_path / "else"
    (inside / "deep").mkdir(parents=True)
    outside.mkdir()
    for path in (
        inside / "b.WAV",
        inside / "._b.WAV",
        inside / "deep" / "a.flac",
        outside / "c.m4a",
        outside / "c.txt",
    ):
        path.write_bytes(b"x")
    (inside / "site").symlink_to(outside)
    (outside / "back").symlink_to(inside)  # a circle
    (inside / "gone.wav").symlink_to(tmp_path / "nowhere")
    (inside / ".hidden").mkdir()
    (inside / ".hidden" / "d.wav").write_bytes(b"x")
    assert names(inside) == ["b.WAV", "deep/a.flac", "site/c.m4a"]
    assert find_recordings(inside).hidden == 1  # hidden folders are not entered


def test_a_folder_is_not_a_recording(tmp_path):
    (tmp_path / "a.wav").mkdir()
    assert find_recordings(tmp_path).paths == []


def test_suffixes_are_lower_case_and_once_each():
    assert len(set(SUFFIXES)) == len(SUFFIXES) and all(s == s.lower() and s[0] == "." for s in SUFFIXES)
    assert set(FOREIGN) < set(SUFFIXES)


COMMANDS = {
    "own data": lambda folder: own_recordings.find_audio(folder).values(),
    "stage 1": lambda folder: data_directory.find_audio(folder).values(),
    "index": lambda folder: index([folder], set()) or [folder / "a.wav"],  # finds only wanted keys: none here
    "predict": lambda folder: predicted([str(folder)])[0],
    "split": lambda folder: sources(folder),
    "report": lambda folder: Sources(None, folder).audio.values(),
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_every_command_says_that_hidden_files_are_left_out(tmp_path, caplog, command):
    for name in ("a.wav", "._a.wav", "._b.m4a"):
        soundfile.write(tmp_path / name, np.zeros(8), 8000, format="WAV")
    with caplog.at_level(logging.INFO):
        assert [Path(path).name for path in command(tmp_path)] == ["a.wav"]
    assert [line for line in caplog.messages if "hidden" in line] == [
        f"{tmp_path}: 2 hidden files (such as ._a.wav) are not read"
    ]


def test_a_soundbank_has_no_hidden_files_and_linked_files_once(tmp_path, caplog):
    for split in ("train", "validation"):
        folder = tmp_path / "bank" / split / "foreground" / "dog"
        folder.mkdir(parents=True)
        for name in ("a.wav", "._a.wav"):
            soundfile.write(folder / name, np.ones(800), 8000)
    there = tmp_path / "elsewhere"
    there.mkdir()
    soundfile.write(there / "b.flac", np.ones(800), 8000)
    (tmp_path / "bank/train/foreground/dog/more").symlink_to(there)
    with caplog.at_level(logging.INFO):
        found = SoundBank(tmp_path / "bank").files("train", "foreground")
    assert [path.name for path in found["dog"]] == ["a.wav", "b.flac"]
    assert sum("hidden" in line for line in caplog.messages) == 2


def test_an_unreadable_folder_is_reported_in_one_line(tmp_path, caplog, monkeypatch):
    def scandir(path, scan=os.scandir):
        if Path(path).name == "shut":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)  # root may read everything
    (tmp_path / "shut").mkdir()
    (tmp_path / "a.wav").write_bytes(b"")
    line = f"{tmp_path / 'shut'}: permission denied (check its owner and mode)"
    assert [path.name for path in recordings_of(tmp_path, logging.getLogger("sed.x"))] == ["a.wav"]
    assert caplog.messages == [line]
    kept: list[str] = []
    recordings_of(tmp_path, logging.getLogger("sed.x"), kept)
    assert kept == [line] and len(caplog.messages) == 1


def test_a_folder_that_is_removed_during_the_search_is_reported_and_does_not_end_it(tmp_path, monkeypatch):
    def walk(folder, known=os.walk, **options):
        yield str(tmp_path / "removed"), [], ["b.wav"]  # listed just before
        yield from known(folder, **options)

    monkeypatch.setattr(os, "walk", walk)
    (tmp_path / "a.wav").write_bytes(b"")
    found = find_recordings(tmp_path)
    assert found.paths == [tmp_path / "a.wav"]
    assert found.closed == [f"{tmp_path / 'removed'}: no such file or directory (check the path)"]


def test_a_folder_that_may_only_be_listed_is_reported_and_does_not_end_the_search(tmp_path, monkeypatch):
    def is_file(path, known=Path.is_file):
        if path.parent.name == "listed":
            raise PermissionError(13, "Permission denied", str(path))
        return known(path)

    monkeypatch.setattr(Path, "is_file", is_file)
    (tmp_path / "listed").mkdir()
    for path in (tmp_path / "listed" / "b.wav", tmp_path / "a.wav"):
        path.write_bytes(b"")
    found = find_recordings(tmp_path)
    assert found.paths == [tmp_path / "a.wav"]
    assert found.broken == [f"{tmp_path / 'listed/b.wav'}: permission denied (check its owner and mode)"]


def test_an_entry_that_is_not_a_file_is_reported(tmp_path, caplog):
    (tmp_path / "a.wav").write_bytes(b"")
    for name in ("gone.wav", "lost.wav"):
        (tmp_path / name).symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.flac")
    lines = [
        f"{tmp_path / 'gone.wav'}: a link that leads nowhere",
        f"{tmp_path / 'lost.wav'}: a link that leads nowhere",
    ]
    lines += [f"{tmp_path / 'pipe.flac'}: not a regular file"]
    names, problems = predicted([str(tmp_path)])
    assert names == [str(tmp_path / "a.wav")] and sorted(problems) == lines
    assert recordings_of(tmp_path, logging.getLogger("sed.x")) == [tmp_path / "a.wav"]
    assert caplog.messages == [f"{lines[0]} (and 2 more)"]
