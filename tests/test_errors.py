"""Messages of other libraries, shortened to one line."""

import pytest

from sed.errors import first_lines


@pytest.mark.parametrize(
    ("message", "count", "expected"),
    [
        ("one\ntwo\n", 1, "one"),
        ("\n one \n\ttwo\nthree", 2, "one two"),
        ("one", 2, "one"),
        (" \n", 1, "RuntimeError"),
    ],
)
def test_first_lines_are_joined_and_a_missing_message_is_the_type(message: str, count: int, expected: str) -> None:
    assert first_lines(RuntimeError(message), count) == expected
