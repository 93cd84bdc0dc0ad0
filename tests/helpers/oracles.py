"""The metric packages called directly, and the parameters that they are called with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
from hypothesis import settings
from hypothesis import strategies as st

from sed.evaluation.metrics.events import EventTable
from sed.evaluation.metrics.psds import PSDS1, PSDS2, Parameters
from sed.evaluation.metrics.task import Problem

seeds = st.integers(0, 10**6)
# The problems have 20 s of audio: one false alarm is 180 per hour, so e_max has to be larger for a PSDS above 0.
ONE, TWO = replace(PSDS1, e_max=2000.0), replace(PSDS2, e_max=2000.0)
# parameters unlike both scenarios
OWN = Parameters(dtc=0.5, gtc=0.5, cttc=0.3, alpha_ct=1.0, alpha_st=0.0, e_max=900.0)
SLOWLY = settings(max_examples=8, deadline=None)  # few examples, since the packages are slow


def psds_eval_directly(made: Problem, tables: Sequence[EventTable], dtc: float, gtc: float, cttc: float) -> Any:
    """Return psds_eval's evaluator of the classes with ground truth, with an operating point per table."""
    from psds_eval import PSDSEval

    known = [made.labels[i] for i in made.present]
    evaluator = PSDSEval(
        dtc, gtc, cttc,
        ground_truth=made.frame(made.truth),
        metadata=pd.DataFrame({"filename": made.clips, "duration": made.durations}),
        class_names=known,
    )  # fmt: skip
    for table in tables:
        frame = made.frame(table)
        evaluator.add_operating_point(frame[frame.event_label.isin(known)])
    return evaluator
