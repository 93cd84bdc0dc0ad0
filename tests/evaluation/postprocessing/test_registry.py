import subprocess
import sys

import numpy as np
import pytest
from options import post_processing_options
from paths import ROOT
from random_scores import uniform

from sed.evaluation.postprocessing.registry import STEPS, TUNABLE
from sed.evaluation.postprocessing.step import Component, Step
from sed.evaluation.postprocessing.threshold import Threshold

LABELS = ["a", "b"]
DECLARED = {
    name for protocol in (Component, Step) for name in (*protocol.__annotations__, *vars(protocol)) if name[0] != "_"
}


@pytest.mark.parametrize("name", STEPS)
def test_a_step_has_all_that_the_protocol_declares(name: str) -> None:
    step = STEPS[name]
    assert step.name == name
    assert {"apply", "resolve", "needs_clip"} <= DECLARED and not DECLARED - set(dir(step))
    made = step.resolve(post_processing_options(), LABELS)
    assert type(made) is step and step.from_dict(made.to_dict(), LABELS) == made
    scores = uniform(2, 30).flat()
    before = scores.values.copy()
    after = made.apply(scores)
    assert after.clips == scores.clips and len(after.start) == 3 and after.values.shape[1] == 2
    np.testing.assert_array_equal(scores.values, before)  # the input is left as it is


@pytest.mark.parametrize("name", [name for name, step in STEPS.items() if step.is_rank_filter])
def test_rank_filters_commute_with_a_cap(name: str) -> None:
    step = STEPS[name].resolve(post_processing_options("--median", "0.07", "--maximum", "0.05"), LABELS)
    scores = uniform(2, 60).flat()
    capped = scores.with_values(np.minimum(scores.values, np.float32(0.6)))
    np.testing.assert_array_equal(step.apply(capped).values, np.minimum(step.apply(scores).values, np.float32(0.6)))


def test_each_stored_key_and_each_option_belongs_to_one_component() -> None:
    components = [*STEPS.values(), Threshold]
    keys = [key for one in components for key in one.resolve(post_processing_options(), LABELS).to_dict()]
    options = [option.name for one in components for option in one.options]
    assert len(set(keys)) == len(keys) and len(set(options)) == len(options)
    # keys of the stored form and options of `add_arguments` beside those of the components
    assert not {"format", "steps", "tuned_on", "tuned", "clips"} & set(keys)
    assert not {"tuned", "post-processing"} & set(options)


def test_median_filters_are_tuned_before_csebbs_which_are_made_of_what_they_filtered() -> None:
    order = list(TUNABLE)
    assert order.index("median") < order.index("csebbs")


def test_options_and_registry_import_neither_torch_nor_numba_nor_scipy() -> None:
    code = "import sys, sed.evaluation.postprocessing.options; print({'torch', 'numba', 'scipy'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True) == "set()\n"
