"""runs.jsonl: results that are added, replaced, kept, archived and refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sed.errors import UserError
from sed.evaluation.reports.seeds import store
from sed.evaluation.reports.seeds.store import add_runs, archive, by_run, read_runs, write_items


def run_of(config: str, seed: int, psds1: float = 0.5, **more: Any) -> dict[str, Any]:
    return {"config": config, "seed": seed, "event_f1_macro": 0.4, "psds1": psds1, "psds2": None, **more}


def test_a_result_replaces_that_of_its_run_config_and_seed_and_no_other(tmp_path: Path) -> None:
    add_runs(tmp_path, [run_of("b", 10), run_of("b", 2), run_of("a", 1, clips=3), run_of("a", 1, 0.1, run="old")])
    before = (tmp_path / "runs.jsonl").read_text().splitlines()
    add_runs(tmp_path, [run_of("b", 2, 0.9)])
    after = (tmp_path / "runs.jsonl").read_text().splitlines()
    assert [json.loads(line)["seed"] for line in after] == [1, 2, 10, 1]
    assert [json.loads(line).get("run") for line in after] == [None, None, None, "old"]
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert len(changed) == 1 and json.loads(changed[0][1])["psds1"] == 0.9


def test_reading_gives_what_was_written_by_run_and_config(tmp_path: Path) -> None:
    runs = [run_of("ä", 2, label="Geräusch\u2028x"), run_of("ä", 1), run_of("b", 1, run="old")]
    add_runs(tmp_path, runs)
    assert by_run(read_runs(tmp_path)) == {"": {"ä": [runs[1], runs[0]]}, "old": {"b": [runs[2]]}}
    assert by_run(read_runs(tmp_path / "nowhere")) == {}


def test_an_archived_run_keeps_its_main_numbers_and_gives_way_to_new_results(tmp_path: Path) -> None:
    add_runs(tmp_path, [run_of("a", 1, per_class={}), run_of("a", 1, 0.2, run="first")])
    write_items(tmp_path / "margins.json", [{"a": "a", "b": "b", "seeds": [1]}])
    archive(tmp_path, "second")
    assert not (tmp_path / "margins.json").exists()  # the next run's may be over fewer seeds
    assert by_run(read_runs(tmp_path)) == {
        "first": {"a": [run_of("a", 1, 0.2, run="first")]},
        "second": {"a": [run_of("a", 1, run="second")]},
    }
    add_runs(tmp_path, [run_of("a", 1, 0.7)])
    assert len(read_runs(tmp_path)) == 3
    before = (tmp_path / "runs.jsonl").read_text()
    with pytest.raises(UserError, match="has a run 'first' already"):
        archive(tmp_path, "first")
    assert (tmp_path / "runs.jsonl").read_text() == before


def test_an_archiving_that_was_killed_can_be_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_runs(tmp_path, [run_of("a", 1)])
    old = {"run": "first", "text": "Old."}
    write_items(tmp_path / "remarks.json", [old, {"text": "New."}])
    write = store.write_text

    def killed(path: Path, text: str) -> None:
        if path.name == "runs.jsonl":
            raise KeyboardInterrupt
        write(path, text)

    monkeypatch.setattr(store, "write_text", killed)
    with pytest.raises(KeyboardInterrupt):
        archive(tmp_path, "second")
    monkeypatch.undo()
    archive(tmp_path, "second")
    assert json.loads((tmp_path / "remarks.json").read_text()) == [old, {"run": "second", "text": "New."}]
    assert [run["run"] for run in read_runs(tmp_path)] == ["second"]


def test_a_remark_whose_run_is_null_goes_with_the_run_that_is_archived(tmp_path: Path) -> None:
    add_runs(tmp_path, [run_of("a", 1)])
    write_items(tmp_path / "remarks.json", [{"text": "New.", "run": None}])
    archive(tmp_path, "first")
    assert json.loads((tmp_path / "remarks.json").read_text()) == [{"run": "first", "text": "New."}]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "not JSON"),
        ('{"config": "a"}', "no 'seed'"),
        ('{"config": "a", "seed": "2"}', 'seed is "2"'),
        ('{"config": "a", "seed": 2, "by_length": 3}', "by_length is 3"),
        ('{"config": "a", "seed": 2, "fragments": {"split": null}}', "fragments.split is null"),
        ("[]", "no 'config'"),
    ],
)
def test_a_damaged_line_is_refused_by_its_number(tmp_path: Path, line: str, said: str) -> None:
    add_runs(tmp_path, [run_of("a", 1)])
    path = tmp_path / "runs.jsonl"
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(UserError, match=rf"runs\.jsonl:2: .*{said}"):
        read_runs(tmp_path)


def test_a_list_has_one_line_per_item_and_refuses_what_json_has_not(tmp_path: Path) -> None:
    path = tmp_path / "margins.json"
    items: list[dict[str, Any]] = [{"a": "x", "numbers": {"psds1": {"value": 0.1}}}, {"a": "y\n"}]
    write_items(path, items)
    assert json.loads(path.read_text()) == items and len(path.read_text().splitlines()) == len(items) + 2
    with pytest.raises(ValueError):
        write_items(path, [{"value": float("nan")}])
    assert json.loads(path.read_text()) == items
    write_items(path, [])
    assert json.loads(path.read_text()) == []
