"""Results of models trained without real strong clips are marked."""

from __future__ import annotations

from typing import Any

import pytest

from sed.evaluation.reports.trained_on import lacks_real_strong, warning


@pytest.mark.parametrize(
    ("model", "lacks"),
    [
        (None, False),  # others' output
        ({"config": {}}, False),
        ({"config": {"train_sets": ["train"], "batch_sizes": [2]}}, False),  # another corpus
        ({"config": {"train_sets": ["strong_real", "weak"], "batch_sizes": [2, 2]}}, False),
        ({"config": {"train_sets": ["strong_real", "weak"], "batch_sizes": [0, 2]}}, True),
        ({"config": {"train_sets": ["strong_synth", "weak"], "batch_sizes": [2]}}, True),
        ({"sets": ["strong_synth", "weak"], "config": {"train_sets": ["strong_real", "weak"]}}, True),
        ({"sets": ["strong_real"], "config": {"train_sets": ["strong_real", "weak"]}}, False),
    ],
)
def test_a_model_lacks_real_strong_clips_if_it_was_trained_on_other_sets_of_desed_only(
    model: dict[str, Any] | None, lacks: bool
) -> None:
    assert lacks_real_strong({"model": model}) == lacks


def test_the_warning_names_the_systems() -> None:
    assert warning([]) == ""
    assert warning(["a", "b"]).startswith("Trained without real strong clips: a, b;")
