"""The loggers of Weights & Biases and MLflow with the packages themselves, without which CI skips their tests.

`tests/run.sh --campaign trackers` downloads the packages and installs them beside the environment, not into it; the
tests of these loggers and of the registry of loggers then run without a network.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT

pytestmark = [pytest.mark.campaign, pytest.mark.slow]


def test_loggers_of_trackers_pass_their_tests_with_the_packages(tmp_path: Path) -> None:
    packages = ("wandb>=0.17", "mlflow-skinny>=2.14")
    assert all(f'"{package}"' in (ROOT / "setup.py").read_text() for package in packages)
    pip = [sys.executable, "-m", "pip", "install", "-q", "--target", tmp_path / "packages"]
    subprocess.run([*pip, "-c", ROOT / "constraints.txt", *packages], check=True)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path / 'packages'}"}
    tests = ["tests/training/loggers", "tests/training/test_logger.py"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rs", *tests], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "SKIPPED" not in done.stdout
    print(done.stdout[-300:])
