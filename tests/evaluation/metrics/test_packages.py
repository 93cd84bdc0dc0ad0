"""The metric packages: imported when they are needed, without their warnings."""

from __future__ import annotations

import subprocess
import sys

from sed.evaluation.metrics.packages import sed_eval, sed_scores_eval


def test_packages_have_what_is_called() -> None:
    assert callable(sed_eval().sound_event.EventBasedMetrics)
    assert callable(sed_scores_eval().intersection_based.psds)


def test_metrics_load_no_package_before_it_is_used() -> None:
    packages = {"sed_eval", "sed_scores_eval", "psds_eval", "dcase_util", "pandas"}
    code = f"import sys, sed.evaluation.metrics.table; print(*({packages} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_importing_sed_eval_prints_no_warnings() -> None:
    code = "from sed.evaluation.metrics.packages import sed_eval; sed_eval()"
    done = subprocess.run([sys.executable, "-W", "default", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "" and "Warning" not in done.stderr
