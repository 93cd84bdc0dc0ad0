"""The command that writes egs/real_sounds' results and RESULTS.md."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from several_seeds import TRUTH, experiments

from local.real_sounds import report
from sed.data.tables import write_durations_tsv, write_events_tsv
from sed.evaluation.reports.seeds.store import read_runs

ROOT = Path(__file__).resolve().parents[3]
Command = Callable[..., int]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Command:
    """Return a function that runs the command with its arguments and returns the exit status."""

    def run(*args: object) -> int:
        monkeypatch.setattr(sys, "argv", ["report", *map(str, args)])
        with pytest.raises(SystemExit) as stop:
            report.main()
        return int(str(stop.value.code or 0))

    return run


@pytest.fixture
def options(tmp_path: Path) -> list[Any]:
    """Return the options with which the results of experiments are collected."""
    dump = tmp_path / "dump"
    for name in ("weak", "validation", "pseudo_seed1"):
        (dump / name).mkdir(parents=True)
        write_durations_tsv(dump / name / "durations.tsv", {"a": 10.0, "b": 10.0})
    write_events_tsv(dump / "validation" / "events.tsv", TRUTH)
    (tmp_path / "sources.json").write_text(json.dumps({"train": {"Dog": [4, 20], "Frying": [2, 5]}}))
    tagging = {"set": "validation", "clips": 2, "map": 0.8, "ap": {"Dog": 0.9, "Frying": 0.7}, "model": "x"}
    (tmp_path / "tagging.json").write_text(json.dumps(tagging))
    exp = experiments(tmp_path / "exp")
    return [
        "--exp",
        exp,
        "--dump",
        dump,
        "--sources",
        tmp_path / "sources.json",
        "--tagging",
        tmp_path / "tagging.json",
    ]


def test_the_page_depends_on_the_results_only(options: list[Any], command: Command, tmp_path: Path) -> None:
    assert command(*options, tmp_path / "results", tmp_path / "RESULTS.md") == 0
    page = (tmp_path / "RESULTS.md").read_text()
    assert command(tmp_path / "results", tmp_path / "again.md") == 0
    assert (tmp_path / "again.md").read_text() == page
    assert "| `ast_sed` | 2 | 45.00 ± 7.07 | 0.4500 ± 0.0707 | – |" in page
    # +4.40 and +0.06 are the paper's gains; `experiments` varies both configs equally, so intervals have no width
    assert "| AST-SED over AST-GRU | 2 | +10.00 [+10.00, +10.00] | +4.40 | +0.1000 [+0.1000, +0.1000] | +0.06 |" in page
    assert "`ast_sed_csebbs` over `ast_sed`" in page
    assert "mAP of the pre-trained AST on the validation clips: 0.800" in page
    assert "`ast_sed` (seed 1) has an EB-F1 of 90.0 % on the strong_real clips" in page
    assert "](results/gains.png)" in page and (tmp_path / "results" / "gains.png").stat().st_size > 1000
    assert "figure3.png" not in page
    assert "pseudo" not in page.split("##")[0] and str(tmp_path) not in page
    assert not [path for path in (tmp_path / "results").glob("*.json*") if str(tmp_path) in path.read_text()]


def test_results_of_experiments_that_are_gone_stay(options: list[Any], command: Command, tmp_path: Path) -> None:
    assert command(*options, tmp_path / "results", tmp_path / "RESULTS.md") == 0
    page = (tmp_path / "RESULTS.md").read_text()
    (tmp_path / "exp" / "crnn_seed3").rename(tmp_path / "elsewhere")
    assert command(*options, tmp_path / "results", tmp_path / "RESULTS.md") == 0
    assert (tmp_path / "RESULTS.md").read_text() == page


def test_a_run_can_be_collected_in_several_calls(options: list[Any], command: Command, tmp_path: Path) -> None:
    """Margins of an earlier call stay, and those over fewer seeds do not replace them."""
    assert command(*options, tmp_path / "results", tmp_path / "RESULTS.md") == 0
    margins = (tmp_path / "results" / "margins.json").read_text()
    assert '"a":"ast_gru","b":"ast_sed","seeds":[1,2]' in margins
    (tmp_path / "exp" / "ast_gru_seed2").rename(tmp_path / "elsewhere")
    (tmp_path / "exp" / "ast_sed_seed1").rename(tmp_path / "elsewhere2")
    assert command(*options, tmp_path / "results", tmp_path / "RESULTS.md") == 0
    assert (tmp_path / "results" / "margins.json").read_text() == margins


def test_scores_on_training_clips_stay_until_their_config_is_collected_again(
    options: list[Any], command: Command, tmp_path: Path
) -> None:
    results, page = tmp_path / "results", tmp_path / "RESULTS.md"
    assert command(*options, results, page) == 0
    before = json.loads((results / "training.json").read_text())
    assert "ast_sed" in before
    for path in (tmp_path / "exp").glob("ast_sed_seed*"):
        path.rename(tmp_path / path.name)
    assert command(*options, results, page) == 0 and json.loads((results / "training.json").read_text()) == before
    for path in tmp_path.glob("ast_sed_seed*"):
        shutil.rmtree(path / "strong_real", ignore_errors=True)
        path.rename(tmp_path / "exp" / path.name)
    assert command(*options, results, page) == 0
    assert "ast_sed" not in json.loads((results / "training.json").read_text())


def test_results_of_two_soundbanks_are_not_mixed(
    options: list[Any], command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(*options, tmp_path / "results", tmp_path / "RESULTS.md") == 0
    before = (tmp_path / "results" / "runs.jsonl").read_text()
    (tmp_path / "sources.json").write_text(json.dumps({"train": {"Dog": [5, 20], "Frying": [2, 5]}}))
    assert command(*options, tmp_path / "results", tmp_path / "RESULTS.md") == 2
    assert "holds results on another soundbank" in capsys.readouterr().err
    assert (tmp_path / "results" / "runs.jsonl").read_text() == before
    assert command(*options, tmp_path / "new", tmp_path / "RESULTS.md") == 0


def test_a_finding_written_by_hand_stands_before_all_sections(
    options: list[Any], command: Command, tmp_path: Path
) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "finding.md").write_text("The order holds.\n")
    assert command(*options, tmp_path / "results", tmp_path / "RESULTS.md") == 0
    page = (tmp_path / "RESULTS.md").read_text()
    assert page.index("The order holds.") < page.index("## ")


def test_an_archived_run_stands_beside_the_new_one(options: list[Any], command: Command, tmp_path: Path) -> None:
    results, page = tmp_path / "results", tmp_path / "RESULTS.md"
    assert command(*options, results, page) == 0
    remark = {"names": ["ast_gru_seed2"], "text": "Wrong.", "faulty": True}
    (results / "remarks.json").write_text(json.dumps([remark]))
    assert command(*options, "--archive", "first", results, page) == 0
    text = page.read_text()
    assert "| config | this run | `first` |" in text
    assert "| `ast_gru` | 35.00, 0.3500 (2) | 30.00, 0.3000 (1) |" in text  # the faulty one is not in the archived run
    assert "Wrong." not in text  # its remark was on the archived run
    assert sorted({run.get("run", "") for run in read_runs(results)}) == ["", "first"]


def test_of_an_archived_run_no_tagging_and_no_picture_of_gains_stay(
    options: list[Any], command: Command, tmp_path: Path
) -> None:
    results, page = tmp_path / "results", tmp_path / "RESULTS.md"
    assert command(*options, results, page) == 0
    assert (results / "gains.png").is_file() and "mAP of the pre-trained AST" in page.read_text()
    for path in (tmp_path / "exp").glob("ast_gru_seed*"):  # without it there are no gains to draw
        path.rename(tmp_path / path.name)
    assert command(*options[:-2], "--archive", "first", results, page) == 0
    assert not (results / "gains.png").exists() and "gains.png" not in page.read_text()
    assert "mAP of the pre-trained AST" not in page.read_text()


def test_the_sources_stay_if_a_later_call_does_not_give_them(
    options: list[Any], command: Command, tmp_path: Path
) -> None:
    results, page = tmp_path / "results", tmp_path / "RESULTS.md"
    assert command(*options, results, page) == 0
    before = (results / "corpus.json").read_text()
    assert command(*options[:4], results, page) == 0
    assert (results / "corpus.json").read_text() == before


def test_nothing_is_archived_before_the_next_run_has_been_read(
    options: list[Any], command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results, page = tmp_path / "results", tmp_path / "RESULTS.md"
    assert command(*options, results, page) == 0
    before = {path.name: path.read_bytes() for path in results.iterdir()}
    (tmp_path / "none").mkdir()
    (tmp_path / "broken.json").write_text("{")
    for wrong, message in (
        ([], "--archive needs --exp"),
        ([*options, "--exp", tmp_path / "none"], "none: no results on validation"),
        ([*options, "--dump", tmp_path / "none"], "events.tsv"),
        ([*options, "--sources", tmp_path / "broken.json"], "broken.json: not JSON"),
        ([*options, "--tagging", tmp_path / "broken.json"], "broken.json: not JSON"),
    ):
        assert command(*wrong, "--archive", "first", results, page) == 2
        assert message in capsys.readouterr().err
        assert {path.name: path.read_bytes() for path in results.iterdir()} == before
    (results / "ways.json").write_text("{")
    assert command(*options, "--archive", "first", results, page) == 2
    assert (results / "runs.jsonl").read_bytes() == before["runs.jsonl"] and (results / "margins.json").is_file()
    (results / "ways.json").unlink()
    assert command(*options, "--archive", "first", results, page) == 0


def test_trials_and_remarks_are_in_their_sections(options: list[Any], command: Command, tmp_path: Path) -> None:
    results = tmp_path / "results"
    assert command(*options, results, tmp_path / "RESULTS.md") == 0
    remarks = [
        {"names": ["ast_sed_seed2", "b"], "text": "Something was wrong."},
        {"names": [], "text": "All else not."},
    ]
    (results / "remarks.json").write_text(json.dumps(remarks))
    for name, lr, psds1 in (("a", 1e-3, 0.2), ("b", 1e-4, 0.3)):
        folder = tmp_path / "ways" / name / "validation"
        folder.mkdir(parents=True)
        config = {"encoder": "ast", "pooling": "fte", "upsample": 10, "lr": lr}
        result = {"event_f1_macro": 0.25, "psds1": psds1, "psds2": 0.25, "per_class": {}, "set": "validation"}
        result |= {"clips": 6, "clips_expected": 6, "model": {"config": config, "step": 700}}
        (folder / "result.json").write_text(json.dumps(result))
    assert command("--ways", tmp_path / "ways", results, tmp_path / "RESULTS.md") == 0
    page = (tmp_path / "RESULTS.md").read_text()
    assert "\n(1) Something was wrong.\n\nAll else not.\n" in page
    assert "One training of 700 steps each, scored on 6 clips" in page
    assert page.index("| `ast_sed` (1) | lr 0.0001 |") < page.index("| `ast_sed` | lr 0.001 |")


def test_missing_results_or_ground_truth_are_named(
    command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results").mkdir()
    assert command(tmp_path / "results", tmp_path / "RESULTS.md") == 2
    assert "no results (score first" in capsys.readouterr().err
    assert command("--exp", tmp_path, tmp_path / "results", tmp_path / "RESULTS.md") == 2
    assert "--exp needs --dump" in capsys.readouterr().err
    (tmp_path / "results" / "margins.json").write_text("{")
    assert command(tmp_path / "results", tmp_path / "RESULTS.md") == 2
    assert "margins.json: not JSON" in capsys.readouterr().err
    assert not (tmp_path / "RESULTS.md").exists()


@pytest.mark.parametrize("name", ["sources", "tagging"])
def test_files_that_are_not_json_are_named(
    options: list[Any], command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / f"{name}.json").write_text("{")
    assert command(*options, tmp_path / "results", tmp_path / "RESULTS.md") == 2
    assert f"{name}.json: not JSON" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "sources",
            {"train": {"Dog": 4}},
            "not the numbers of a soundbank's sources: train.Dog is 4 (make it again by",
        ),
        ("tagging", {"clips": 2, "set": "x", "ap": {}}, "not the scores of a tagger: it has no map (make it again by"),
        ("tagging", [], "not the scores of a tagger: it is [] (make it again by"),
    ],
)
def test_files_of_other_json_are_named_and_nothing_is_written(
    options: list[Any],
    command: Command,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    content: object,
    message: str,
) -> None:
    (tmp_path / f"{name}.json").write_text(json.dumps(content))
    assert command(*options, tmp_path / "results", tmp_path / "RESULTS.md") == 2
    assert f"{name}.json: {message}" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("finding.md", b"Caf\xe9", "finding.md: not a text file (UTF-8 is expected)"),
        ("remarks.json", b'{"text": "x"}', ": it is {"),
        ("remarks.json", b'[{"names": "ast_sed_seed1", "text": "x"}]', ': [0].names is "ast_sed_seed1" (correct it)'),
        ("remarks.json", b'[{"text": "x"}, {"names": ["ast_sed_seed1"]}]', ": number 2 has no text (correct it)"),
    ],
)
def test_what_is_written_by_hand_is_checked_before_anything_is_changed(
    options: list[Any],
    command: Command,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    content: bytes,
    message: str,
) -> None:
    results = tmp_path / "results"
    results.mkdir()
    (results / name).write_bytes(content)
    assert command(*options, results, tmp_path / "RESULTS.md") == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in results.iterdir()] == [name]


@pytest.mark.thorough
def test_the_repositorys_page_follows_from_its_results(command: Command, tmp_path: Path) -> None:
    recipe = ROOT / "egs" / "real_sounds"
    folder = tmp_path / "results"
    folder.mkdir()
    for path in (recipe / "results").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    assert command(folder, tmp_path / "RESULTS.md") == 0
    assert (tmp_path / "RESULTS.md").read_text() == (recipe / "RESULTS.md").read_text()
