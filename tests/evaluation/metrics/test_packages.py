"""The metric packages: imported when they are needed, without their warnings."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sed.evaluation.metrics.packages import sed_eval, sed_scores_eval


def test_packages_have_what_is_called() -> None:
    assert callable(sed_eval().sound_event.EventBasedMetrics)
    assert callable(sed_scores_eval().intersection_based.psds)


@pytest.mark.parametrize("name", ["sed_eval", "sed_scores_eval", "psds_eval", "dcase_util"])
def test_metrics_load_no_package_before_it_is_used(name: str) -> None:
    code = f"import sys, sed.evaluation.metrics.table; sys.exit('{name}' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_importing_a_package_says_nothing() -> None:
    code = "from sed.evaluation.metrics.packages import sed_eval; sed_eval()"
    done = subprocess.run([sys.executable, "-W", "default", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "" and "Warning" not in done.stderr
