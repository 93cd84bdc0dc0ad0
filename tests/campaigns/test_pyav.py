"""PyAV, which decodes m4a and the like where no ffmpeg is installed, compared with ffmpeg by a test that CI skips.

`tests/run.sh --campaign pyav` downloads the package and installs it beside the environment, not into it: its wheels
carry GPL libraries.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT
from sounds import needs_ffmpeg

pytestmark = [pytest.mark.campaign, pytest.mark.slow]


@needs_ffmpeg
def test_pyav_passes_its_test_with_the_package(tmp_path: Path) -> None:
    package = "av>=12"
    assert f'"{package}"' in (ROOT / "setup.py").read_text()
    pip = [sys.executable, "-m", "pip", "install", "-q", "--target", tmp_path / "packages"]
    subprocess.run([*pip, package], check=True)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path / 'packages'}"}
    command = [sys.executable, "-m", "pytest", "-q", "-rsp", "tests/data/containers/test_foreign.py", "-k", "pyav"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "SKIPPED" not in done.stdout and "PASSED" in done.stdout
