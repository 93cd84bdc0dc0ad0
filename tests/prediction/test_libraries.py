import importlib
import threading

import pytest

from sed.prediction.libraries import loading, loads


def test_loads_run_beside_the_block_and_have_ended_after_it() -> None:
    inside, seen = threading.Event(), []

    def missing() -> None:
        raise ModuleNotFoundError("no such library")

    def waits() -> None:
        seen.append(inside.wait(10))

    with loading([missing, waits]):
        assert seen == []
        inside.set()
    assert seen == [True]


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_load_that_fails_is_silent_and_the_next_one_runs() -> None:
    seen: list[int] = []

    def unreadable() -> None:
        raise PermissionError(13, "permission denied")

    with loading([unreadable, lambda: seen.append(1)]):
        pass
    assert seen == [1]


def test_an_error_of_the_block_is_raised_after_the_loads() -> None:
    seen: list[int] = []
    with pytest.raises(KeyError), loading([lambda: seen.append(1)]):
        raise KeyError
    assert seen == [1]


def test_what_is_missing_is_left_out_and_the_rest_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loads("cpu", bf16=False) == []
    assert len(loads("cuda", bf16=True)) == len(loads("cuda", bf16=False)) + 1
    imported: list[str] = []
    plain = importlib.import_module
    monkeypatch.setattr(importlib, "import_module", lambda *name: imported.append(name[0]) or plain(*name))
    with loading(loads("cuda:7", bf16=True)):  # a GPU that no test machine has
        pass
    assert "scipy.ndimage" in imported  # the last one
