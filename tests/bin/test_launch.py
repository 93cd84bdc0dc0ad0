"""sed.bin.launch: what torchrun cannot start is reported without a traceback."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest
from paths import ROOT


def launch(*options: str) -> tuple[int, str]:
    """Launch Python's `this`; return the exit status and the standard error."""
    command = [sys.executable, "-m", "sed.bin.launch", *options, "-m", "this"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    "option",
    [
        "--nproc-per-node=two",
        "--no-such",
        *(pytest.param(odd, marks=pytest.mark.thorough) for odd in ("--nproc-per-node=0", "--nnodes=3:1:2")),
    ],
)
def test_a_value_or_an_option_that_torchrun_does_not_know_is_bad_usage(option: str) -> None:
    status, said = launch("--standalone", option)
    assert status == 2 and said.startswith("launch: ") and said.count("\n") == 1, said


@pytest.mark.thorough
def test_a_port_that_is_taken_is_a_failed_run() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        status, said = launch("--nproc-per-node", "1", "--master-port", str(server.getsockname()[1]))
    line = said.splitlines()[-1]
    assert status == 1 and "address already in use" in line and "another --master-port" in line, said
    assert "Traceback" not in said
