"""The command itself, killed ten times while 500 recordings are written into the folder that it watches.

`tests/run.sh --campaign watch`: three minutes; for two of them recordings come in. A sample of it is in
`tests/prediction/test_watch.py`.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import soundfile
from paths import ROOT
from recorder import recorder
from tiny_model import save_tiny, sounds

pytestmark = [pytest.mark.campaign, pytest.mark.slow]
COUNT, KILLS = 500, 10


def test_watch_has_each_files_events_once(tmp_path: Path) -> None:
    folder, model, moments = tmp_path / "in", save_tiny(tmp_path / "model"), random.Random(0)
    folder.mkdir()
    data = []
    for number in range(COUNT):
        soundfile.write(tmp_path / "x.wav", sounds(2, seed=number), 16000)
        data.append((tmp_path / "x.wav").read_bytes())

    def command(*words: str | Path) -> list[str]:
        options = ["--device", "cpu", "--threads", "1", "--format", "jsonl", "--out", words[0], *words[1:]]
        return [sys.executable, "-m", "sed", "predict", "--model", *map(str, [model, *options])]

    table = tmp_path / "watched.jsonl"
    quick = ("--watch-settle", "0.3", "--watch-interval", "0.1", "--watch-idle", "3")
    watch = command(table, "--watch", folder, *quick)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    thread = recorder(folder, data, pause=0.2)  # 125 s: 5 pauses in four recordings
    kills = []
    while len(kills) < KILLS:
        process = subprocess.Popen(watch, env=environment, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        assert any(" watching " in line for line in process.stderr)  # the model is open
        time.sleep(moments.uniform(0.3, 5))
        process.send_signal(signal.SIGKILL)
        process.stderr.close()
        assert process.wait() == -signal.SIGKILL
        kills.append(len(table.read_bytes().splitlines()) if table.exists() else 0)
    during = thread.is_alive()
    thread.join()
    subprocess.run(watch, env=environment, check=True, stderr=subprocess.DEVNULL)
    # The same recordings in one run of the plain command, which names them by their paths.
    subprocess.run([*command(tmp_path / "at_once.jsonl"), str(folder)], env=environment, check=True)
    expected = (tmp_path / "at_once.jsonl").read_text().replace(f'"{folder}/', '"').splitlines()
    found = table.read_text().splitlines()
    print(f"{COUNT} recordings, {len(expected)} events, {KILLS} kills after {kills} events; still filling: {during}")
    assert kills[0] < kills[-1] < len(expected) and len(set(kills)) > KILLS / 2  # in the middle of the work
    assert sorted(found) == sorted(expected) and len(expected) > COUNT
