"""Two runs of a command that write to one place at once, mostly with different inputs: one whole result of the two.

The other run's result is replaced, or that run is refused in a line.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from commands_to_kill import CORPORA, ONE_FILE, TRAINING, contents, make_command, said
from kills import at_once, forked

CAMPAIGN = [pytest.mark.campaign, pytest.mark.slow]
ALL = [pytest.param(name, 20, marks=CAMPAIGN) for name in ONE_FILE + CORPORA + TRAINING]
QUICK = [("predict", 2), ("own_data", 2), ("synthesize", 2)]
SLOW = [pytest.param(name, 2, marks=pytest.mark.slow) for name in ("score", "infer", "pack", "train", "pretrain")]


@pytest.mark.thorough
@pytest.mark.parametrize("name,pairs", [*QUICK, *SLOW, *ALL])
def test_two_at_once_give_one_whole_result(tmp_path: Path, serve: Any, name: str, pairs: int) -> None:
    if name == "export_onnx":
        pytest.importorskip("onnx")
    command, place = make_command(name, tmp_path / "made", serve), tmp_path / "place"
    works = [command.work(place, which) for which in range(2)]
    alone = []
    for which, work in enumerate(works):
        assert forked(work) == 0, said(place, which).read_text()
        alone.append(contents(place))
        shutil.rmtree(place)
    refused = 0
    for _ in range(pairs):
        codes = at_once(works)
        words = [said(place, which).read_text() for which in range(2)]
        assert 0 in codes and set(codes) <= {0, 2}, words
        for code, text in zip(codes, words, strict=True):
            assert "Traceback" not in text
            assert code == 0 or text.splitlines()[-1].count(": ") >= 1, text
        found = contents(place)
        assert found in alone, (sorted(found), [sorted(files) for files in alone])
        refused += 2 in codes
        shutil.rmtree(place)
    print(f"{name}: {pairs} pairs, each one whole result; {refused} second ones refused in a line")
