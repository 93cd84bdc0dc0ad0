"""Commands that write, killed at each of their file-system calls: the same command ends with the same files.

Outside the campaign only some commands are killed, most of them at a sample of their calls.
"""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from typing import Any

import pytest
from commands_to_kill import CORPORA, ONE_FILE, TRAINING, contents, make_command, said
from kills import _sample, forked, kill_at_every_call

ALL = [
    pytest.param(name, None, marks=[pytest.mark.campaign, pytest.mark.slow]) for name in ONE_FILE + CORPORA + TRAINING
]
QUICK = [("predict", None), ("own_data", 12), ("download", 12), ("download, less archives", 8)]
SLOW = [pytest.param(name, 6, marks=pytest.mark.slow) for name in ("score", "export_onnx", "infer", *TRAINING)]


@pytest.mark.thorough
@pytest.mark.parametrize("name,most", [*QUICK, *SLOW, *ALL])
def test_killed_at_every_call_the_same_command_gives_the_same(
    tmp_path: Path, serve: Any, name: str, most: int | None
) -> None:
    if name == "export_onnx":
        pytest.importorskip("onnx")
    command, place = make_command(name, tmp_path / "made", serve), tmp_path / "place"
    work = command.work(place)
    assert forked(work) == 0, said(place).read_text()
    undisturbed = contents(place)
    assert not [name for name in undisturbed if name.endswith((".part", ".tag", ".unpacking"))]

    def check(number: int) -> None:
        assert contents(place) == undisturbed, number
        assert "Traceback" not in said(place).read_text()

    def prepare() -> None:
        shutil.rmtree(place, ignore_errors=True)

    kills = kill_at_every_call(work, prepare, check, place, most=most)
    print(f"{name}: {kills} kills")
    assert kills >= (3 if most is None else most - 2)  # a run may have a call or two fewer than the sampled one


def test_a_sample_is_spread_over_all_calls_and_has_the_last_of_each_kind() -> None:
    calls = ["open"] * 150 + ["os.rename", "open", "os.remove"]
    sample = _sample(calls, 83)
    assert len(sample) == 83 and sample[0] == 1 and {151, 152, 153} < {*sample}
    assert max(b - a for a, b in itertools.pairwise(sample)) <= 2
    assert _sample(calls, 2) == [152, 153] and _sample(calls, 999) == [*range(1, 154)]
