"""Stages 0 and 1 of DESED from servers that fail and lie, killed at random: complete for a tenth more bytes at most."""

from __future__ import annotations

import csv
import io
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from faulty_server import Faults, made_up_desed
from paths import ROOT

CAMPAIGN = [pytest.mark.campaign, pytest.mark.slow]
EXPECTED = {"strong_real": 2, "strong_synth": 30, "weak": 5, "unlabelled": 7, "synth_valid": 10, "validation": 4}
EXPECTED |= {"public_eval": 5}
"""clips of each set: the recordings that only strong_real has are in no copy"""


def sounds(seed: int, sample_rate: int) -> Callable[[str], bytes]:
    """Return a function from the name of a recording to its WAV: noise of 10 s if the name has a `_`, else of 2 s.

    The same name gives the same noise, so that a recording is the same in both copies of DESED.
    """

    def sound(name: str) -> bytes:
        number = int("".join(filter(str.isdigit, name))[:11])
        samples = np.random.default_rng([seed, number]).normal(0, 0.1, sample_rate * (10 if "_" in name else 2))
        soundfile.write(buffer := io.BytesIO(), samples, sample_rate, format="WAV", subtype="PCM_16")
        return buffer.getvalue()

    return sound


def command(url: str, work: Path) -> list[str]:
    stage_0 = f"local/download.sh --mirror {url} --research-only minhleduc --timeout 1 --retries 40"
    return [
        str(ROOT / "egs/desed/run.sh"),
        "--work",
        str(work),
        "--stop-stage",
        "1",
        "--nj",
        "1",
        "--download",
        stage_0,
    ]


def files(folder: Path) -> dict[str, bytes]:
    """Return {path: content} of what stage 0 made, without hidden files and archives."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".") and "archives" not in path.parts
    }


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("seed", "kills", "sample_rate"),
    [(0, 1, 4000), *(pytest.param(seed, 12, 16_000, marks=CAMPAIGN) for seed in range(1, 16))],
)
def test_deseds_layout_whole_from_servers_that_lie_and_in_spite_of_kills(
    serve: Any, tmp_path: Path, seed: int, kills: int, sample_rate: int
) -> None:
    """The layout is complete, and servers send at most a tenth more bytes than their files have.

    An estimate of the most in the campaign:

    12 kills x 3 connections x what is in flight (10 kB, a hundredth of a second's) are 0.36 MB. Ten answers that go on,
    are of a wrong size or ignore the range are cut after 10 kB each: 0.1 MB. Two wrong bytes in the zip file cost its
    directory (7 kB) and a member (55 kB) each: 0.12 MB. 13 runs list twice, 6 kB each: 0.16 MB. Together 0.74 MB, 6.7 %
    of 11.0 MB. Of 5.5 GB of real files, 36 x 6 MB, Linux's largest receive buffer, are 3.9 %.
    """
    chance = random.Random(seed)
    made_up = made_up_desed(seed=seed, sound=sounds(seed, sample_rate), scale=5 * sample_rate)
    # A wrong byte costs a damaged member of a zip file, but all of a file of another kind.
    faults = Faults(
        error=0.08, busy=0.05, drop=0.1, stall=0.03, longer=0.04, total=0.04, wrong=0.15, whole=0.03, none=0.02,
        tag=0.03, wrong_in="zip", seed=seed, stalled=1.5, most=6 * (kills + 1),
    )  # fmt: skip
    server = serve(**made_up, faults=faults, rate=1_000_000)
    server.github.clear()  # this, and two of Zenodo's records, are parts that nobody asks for
    del server.zenodo["4307908"], server.zenodo["3987831"]
    for _ in range(kills):
        run = subprocess.Popen(command(server.url, tmp_path / "w"), stderr=subprocess.DEVNULL, start_new_session=True)
        kinds = ("/",) if chance.random() < 0.25 else ("/records/", "/datasets/", "/MIT/")  # most fall into downloads
        seen, deadline = len(server.requests), time.monotonic() + 30
        while run.poll() is None and time.monotonic() < deadline:
            if any(path.startswith(kinds) for path, _ in server.requests[seen:]):
                break
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 1.5))
        with suppress(ProcessLookupError):  # it may be done
            os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        time.sleep(0.2)  # the server notices that its client is dead, and stops sending
    done = subprocess.run(command(server.url, tmp_path / "w"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert server.sent <= 1.1 * server.size, (server.sent, server.size, server.overhead(), faults.kinds)
    with (tmp_path / "w/data/coverage.tsv").open() as table:
        rows = [row for row in csv.DictReader(table, delimiter="\t") if row["class"] == "all"]
    assert {row["set"]: int(row["clips"]) for row in rows} == EXPECTED
    assert next(row["from"] for row in rows if row["set"] == "unlabelled") == "minhleduc 7"
    well = serve(**made_up)
    subprocess.run(command(well.url, tmp_path / "well"), check=True, capture_output=True)
    ours, theirs = files(tmp_path / "w/downloads"), files(tmp_path / "well/downloads")
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == [], "every byte is that of a server that is well"
    print(f"seed {seed}: {kills} kills, {faults.kinds}, {server.sent / server.size:.3f} x {server.size} bytes")
    cut = sum(not answer.fault and answer.sent < answer.end - answer.start for answer in server.answers)
    print(f"{cut} answers cut by kills; overhead: {server.overhead()}")
