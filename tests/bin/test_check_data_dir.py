"""sed.bin.check_data_dir, which reports the faults that `DataDir.load` finds, and the script that runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT

COMMAND = [sys.executable, "-m", "sed.bin.check_data_dir"]
SCRIPT = [str(ROOT / "utils" / "validate_data_dir.sh")]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with labels.txt and two sets, as a recipe's data/; one event ends 1 ms after its clip, by rounding."""
    (tmp_path / "data" / "strong").mkdir(parents=True)
    (tmp_path / "data" / "weak").mkdir()
    for name in ("a.wav", "b c.wav", "Ya_1.000_2.000.wav"):
        (tmp_path / name).touch()
    (tmp_path / "data" / "labels.txt").write_text("Cat\nDog\nSpeech\n")
    for folder in (tmp_path / "data" / "strong", tmp_path / "data" / "weak"):
        (folder / "wav.scp").write_text("Ya_1.000_2.000 Ya_1.000_2.000.wav\na a.wav\nb b c.wav\n")
        (folder / "durations.tsv").write_text("filename\tduration\na.wav\t10.0\nYa_1.000_2.000.wav\t9.9\nb.wav\t10\n")
    (tmp_path / "data" / "strong" / "events.tsv").write_text(
        "filename\tonset\toffset\tevent_label\na.wav\t0\t1.5\tDog\na.wav\t1\t10.001\tCat\nb.wav\n"
        "Ya_1.000_2.000.wav\t2\t3\tSpeech\n"
    )
    (tmp_path / "data" / "weak" / "tags.tsv").write_text(
        "filename\tevent_labels\na.wav\tDog,Cat\nb.wav\tCat\nYa_1.000_2.000.wav\tSpeech\n"
    )
    return tmp_path


def verdict(command: list[str], *arguments: str, cwd: Path) -> tuple[int, str]:
    """Return the exit code and standard error; standard output must be empty."""
    bare = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    python_path = {"PYTHONPATH": str(ROOT)} if command is COMMAND else {}  # the script sets it itself
    done = subprocess.run([*command, *arguments], cwd=cwd, env=bare | python_path, capture_output=True, text=True)
    assert done.stdout == ""
    return done.returncode, done.stderr


def test_good_sets_pass_in_silence(data: Path) -> None:
    assert verdict(COMMAND, "data/strong/", "data/weak", cwd=data) == (0, "")
    (data / "data" / "weak" / "tags.tsv").unlink()
    assert verdict(SCRIPT, "data/weak", cwd=data) == (0, "")


@pytest.mark.parametrize("command", [COMMAND, SCRIPT], ids=["command", "script"])
def test_the_first_fault_is_one_line_and_exit_2(data: Path, command: list[str]) -> None:
    (data / "data" / "strong" / "events.tsv").write_text("filename\tonset\toffset\tevent_label\na.wav\t1\t2\tBird\n")
    expected = "check_data_dir: data/strong/events.tsv:2: unknown label 'Bird' (labels.txt has Cat, Dog, Speech)\n"
    assert verdict(command, "data/strong", cwd=data) == (2, expected)
    (data / "more.txt").write_text("Bird\nSpeech\n")
    assert verdict(command, "--labels", "more.txt", "data/strong", cwd=data) == (0, "")


def test_audio_is_looked_for_by_default(data: Path) -> None:
    (data / "b c.wav").unlink()
    code, said = verdict(COMMAND, "data/strong", cwd=data)
    assert code == 2 and said.startswith("check_data_dir: data/strong/wav.scp:3: b: no such audio file: b c.wav (")
    assert verdict(COMMAND, "--no-wav", "data/strong", cwd=data) == (0, "")
    assert verdict(SCRIPT, "--no-wav", "data/strong", cwd=data) == (0, "")
    assert verdict(SCRIPT, "--no-wav", "false", "data/strong", cwd=data)[0] == 2  # audio is looked for


def test_what_is_missing_is_named(data: Path) -> None:
    assert verdict(COMMAND, "data/none", cwd=data)[1].startswith("check_data_dir: data/none: no such data directory (")
    (data / "data" / "labels.txt").unlink()
    assert verdict(COMMAND, "data/strong", cwd=data)[1].startswith("check_data_dir: data/labels.txt: no such file (")
    (data / "data" / "strong" / "durations.tsv").unlink()
    (data / "data" / "labels.txt").write_text("Dog\n")
    code, said = verdict(SCRIPT, "data/strong", cwd=data)
    assert code == 2 and said.startswith("check_data_dir: data/strong/durations.tsv: no such file (")


@pytest.mark.thorough
def test_forty_thousand_clips_are_checked_within_20_s_and_without_numpy_or_torch(data: Path) -> None:
    weak = data / "data" / "weak"
    (weak / "wav.scp").write_text("".join(f"Y{i} a.wav\n" for i in range(100_000, 140_000)))
    (weak / "durations.tsv").write_text(
        "filename\tduration\n" + "".join(f"Y{i}.wav\t10\n" for i in range(100_000, 140_000))
    )
    (weak / "tags.tsv").unlink()
    script = "import sys; sys.argv[1:] = ['data/weak']\nfrom sed.bin import check_data_dir\n"
    script += "try: check_data_dir.main()\nexcept SystemExit as end: assert end.code == 0\n"
    script += "assert not {'torch', 'numpy', 'h5py'} & set(sys.modules), 'a check of text imports no arrays'\n"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], cwd=data, env=environment, capture_output=True, timeout=20)
    assert done.returncode == 0, done.stderr.decode()
