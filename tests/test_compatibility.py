"""Files of earlier versions: missing options, other names, and formats that are not read."""

from __future__ import annotations

import pytest

from sed import __version__, compatibility
from sed.compatibility import FORMAT, Removed, check_format, complete
from sed.errors import UserError


def test_a_missing_option_is_the_default_unless_the_table_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compatibility, "ADDED", {3: {"b": "as before"}, 4: {"c": 4, "elsewhere": 5}})
    assert complete({"a": 1, "other": 2}, {"a": 0, "b": "new", "c": 0, "d": 0}) == {
        "a": 1, "b": "as before", "c": 4, "d": 0, "other": 2,
    }  # fmt: skip
    assert complete({"b": "stored"}, {"b": "new"}) == {"b": "stored"}


def test_earlier_names_become_todays_and_gone_options_keep_one_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compatibility, "ALIASES", {"units": "gru_units", "gone": Removed(False)})
    assert complete({"units": 8, "gone": False}, {"gru_units": 768}) == {"gru_units": 8}
    for both in ({"units": 8, "gru_units": 9}, {"gru_units": 9, "units": 8}):
        assert complete(both, {"gru_units": 768}) == {"gru_units": 9}
    with pytest.raises(UserError, match="gone True is no longer supported, only False"):
        complete({"gone": True}, {})


def test_aliases_lead_to_todays_names_in_one_step() -> None:
    names = [name for name in compatibility.ALIASES.values() if isinstance(name, str)]
    assert not {*names} & {*compatibility.ALIASES}, "an option renamed twice: both earlier names need today's"


def test_formats_that_are_not_read_are_refused_and_a_newer_one_names_its_version() -> None:
    with pytest.raises(UserError) as error:
        check_format("x.pt", {"format": FORMAT + 1, "version": "9.1.0"}, oldest=1, remedy="train again")
    message = str(error.value)
    assert "x.pt" in message and "version 9.1.0" in message and __version__ in message and "\n" not in message
    for found in ({"format": 1}, {"format": None}, {"format": "3"}, {}):
        with pytest.raises(UserError, match=f"reads 2 to {FORMAT} .train again"):
            check_format("x.pt", found, oldest=2, remedy="train again")
    for known in range(2, FORMAT + 1):
        check_format("x.pt", {"format": known}, oldest=2, remedy="train again")
