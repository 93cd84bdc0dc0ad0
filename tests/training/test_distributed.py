"""Collective operations, in two processes and in a single one."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sed.errors import RunError, UserError
from sed.training.distributed import World, joined

SCRIPT = """
import json, sys
from pathlib import Path
import torch
from sed.training.distributed import joined
with joined(torch.device("cpu")) as world:
    mean, first = torch.tensor([1.0, 10.0 * world.rank]), torch.full((3,), float(world.rank + 5))
    counts = torch.tensor([float(world.rank)])
    world.average(mean, counts)
    world.copy_from_first(first)
    found = {
        "rank": world.rank, "size": world.size, "first": world.first, "mean": mean.tolist(), "copied": first.tolist(),
        "counts": counts.tolist(), "any": [world.any(world.rank == 1), world.any(False)],
        "number": world.number_of_first(40 + world.rank),
    }
    world.barrier()
    Path(sys.argv[1], f"{world.rank}.json").write_text(json.dumps(found))
"""


def test_a_single_process_changes_nothing_and_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined(torch.device("cpu")) as world:
        assert world == World() and world.first
        tensor = torch.tensor([1.0, 2.0])
        world.average(tensor)
        world.copy_from_first(tensor)
        world.barrier()
        assert tensor.tolist() == [1.0, 2.0]
        assert world.any(True) and not world.any(False) and world.number_of_first(7) == 7
    assert not torch.distributed.is_initialized()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"RANK": ""}, r"^WORLD_SIZE=2 in the environment, but no RANK \(start with"),
        ({"MASTER_ADDR": ""}, "but no MASTER_ADDR"),
        ({"MASTER_PORT": ""}, "but no MASTER_PORT"),
        ({"MASTER_PORT": "first"}, "MASTER_PORT=first in the environment: a whole number"),
        ({"RANK": "2"}, r"RANK=2 in the environment, of WORLD_SIZE=2 processes \(0 to 1 is"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE=0 in the environment: at least 1"),
    ],
)
def test_an_environment_without_a_process_group_is_refused(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], message: str
) -> None:
    given = {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    for name, value in {**given, **changes}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=message), joined(torch.device("cpu")):
        pass


@pytest.mark.thorough
def test_a_port_in_use_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        values = {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        with (
            pytest.raises(RunError, match=rf"2 processes cannot join at 127\.0\.0\.1:{port}: .*in use"),
            joined(torch.device("cpu")),
        ):
            pass


@pytest.mark.thorough
def test_two_processes_agree(tmp_path: Path) -> None:
    script = tmp_path / "ranks.py"
    script.write_text(SCRIPT)
    # The launcher keeps its port open; a free port that is only looked up may be taken when the ranks start.
    launched = [
        sys.executable,
        "-m",
        "sed.bin.launch",
        "--standalone",
        "--nproc-per-node",
        "2",
        str(script),
        str(tmp_path),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(launched, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, ended.stderr[-2000:]
    for rank in range(2):
        assert json.loads((tmp_path / f"{rank}.json").read_text()) == {
            "rank": rank,
            "size": 2,
            "first": rank == 0,
            "mean": [1.0, 5.0],
            "copied": [5.0, 5.0, 5.0],
            "counts": [0.5],
            "any": [True, False],
            "number": 40,
        }
