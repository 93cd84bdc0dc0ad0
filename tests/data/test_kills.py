"""Commands killed by SIGKILL at random instants and repeated write the same files as undisturbed ones."""

import hashlib
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sed.data.directory import write_scp

pytestmark = pytest.mark.slow
KILLS = 20


def digest(folder):
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes().replace(bytes(folder), b"")).hexdigest()
        for p in sorted(Path(folder).rglob("*"))
        if p.is_file() and p.name != ".lock"
    }


def kill_often(command, progress, seed):
    """Run a command and kill it a moment after it has made progress, KILLS times at most; then run it to its end."""
    rng = random.Random(seed)
    kills = 0
    while kills < KILLS:
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        before = progress()
        wanted = before + rng.randint(0, 3)
        while process.poll() is None and progress() < wanted:
            time.sleep(0.005)
        time.sleep(rng.random() * 0.1)
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
    subprocess.run(command, check=True)
    return kills


def test_a_killed_dump_ends_with_the_same_files(tmp_path):
    rng = np.random.default_rng(0)
    wavs = {}
    for i in range(900):
        wavs[f"c{i:03d}"] = str(tmp_path / f"c{i % 50:03d}.wav")
        if i < 50:
            soundfile.write(wavs[f"c{i:03d}"], rng.normal(0, 0.1, 8000 * rng.integers(2, 4)), 8000)
    write_scp(tmp_path / "wav.scp", wavs)
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    command = [sys.executable, "-m", "sed.bin.dump_features", str(tmp_path / "wav.scp")]
    subprocess.run([*command, str(tmp_path / "whole" / "feats.1.h5")], check=True)
    journal = tmp_path / "killed" / ".feats.1.h5.journal"

    def progress():  # in batches of 16 clips, of which each has 8 bytes in the journal
        return journal.stat().st_size // 8 // 16 if journal.exists() else 0

    kills = kill_often([*command, str(tmp_path / "killed" / "feats.1.h5")], progress, 0)
    assert kills >= KILLS / 2  # there are 57 batches; a kill comes up to three batches and 0.1 s after a start
    assert digest(tmp_path / "whole") == digest(tmp_path / "killed")


def test_a_killed_synthesis_ends_with_the_same_files(tmp_path):
    sizes = ["--strong-real", "200", "--synthetic", "0", "--weak", "60", "--unlabelled", "0", "--validation", "100"]
    command = [sys.executable, "-m", "sed.bin.synthesize", *sizes, "--pretrain", "100", "--clip-seconds", "1"]
    subprocess.run([*command, str(tmp_path / "whole")], check=True)

    def progress():
        return len(list((tmp_path / "killed" / ".blocks").glob("*.json")))

    assert kill_often([*command, str(tmp_path / "killed")], progress, 1) >= 4  # of 23 blocks
    assert digest(tmp_path / "whole") == digest(tmp_path / "killed")
