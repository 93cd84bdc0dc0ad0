"""Names of columns and keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from sed.data.annotations.annotation import Annotation
from sed.data.annotations.named_columns import annotation_of, columns_of, missing_in
from sed.data.tables import Event
from sed.errors import UserError


def test_the_preferred_name_wins_whatever_its_case_and_place() -> None:
    columns = columns_of(["Text", "Start", "END", "path", "Label", "FileName", "other"])
    assert columns == {"recording": 5, "onset": 1, "offset": 2, "label": 4}
    assert missing_in(columns) == ""
    assert missing_in({"recording": 0}) == "onsets, labels, ends or durations"


def test_a_row_is_an_event_or_a_recording_without_events() -> None:
    path = Path("x/a.csv")
    assert annotation_of(path, 3, {"onset": "1,5", "duration": "0,5", "label": "Dog"}) == Annotation(
        3, "a", Event(1.5, 2, "Dog")
    )
    assert annotation_of(path, 3, {"recording": "b.wav", "onset": "", "offset": "", "label": ""}) == Annotation(
        3, "b.wav", None
    )
    with pytest.raises(UserError, match=r"a.csv:3: no file name"):
        annotation_of(path, 3, {"recording": "", "onset": "1"})
