"""The newest versions that setup.py allows, in an environment of their own without constraints.txt.

Some minutes and gigabytes: `tests/run.sh --campaign newest`. It prints which packages are not as pinned there.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from paths import ROOT

pytestmark = [pytest.mark.campaign, pytest.mark.slow]


def test_tests_pass_with_the_newest_allowed_versions(tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python3"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def run(*command: str | Path) -> str:
        done = subprocess.run([python, *command], cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout

    run("-m", "pip", "install", "--quiet", ".[recipe,test]")
    pinned = {line for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    found = {line.split("+")[0] for line in run("-m", "pip", "list", "--format", "freeze").splitlines()}
    print(f"\n{sys.version.split()[0]}: not as pinned: {', '.join(sorted(found - pinned))}")
    run(
        "-m",
        "pytest",
        "-q",
        "-m",
        "not slow",
        "tests/test_api.py",
        "tests/evaluation",
        "tests/prediction",
        "tests/data",
    )
