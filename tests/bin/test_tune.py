"""Tuning, and scoring with the tuned file, by their command lines."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from sed.bin import results, score, tune
from sed.data.scores import Scores, export_tsv, read_scores, write_scores
from sed.evaluation.postprocessing.stored import of_experiment

LABELS = ["Dog", "Speech"]


def call(module: ModuleType, *arguments: object) -> int:
    """Run a command; return its exit status."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as done:
        patch.setattr(sys, "argv", [module.__name__, *map(str, arguments)])
        module.main()
    return int(done.value.code or 0)


def make_set(folder: Path, name: str, seed: int) -> list[object]:
    """Write a set of six clips with an event of each class; return the arguments that name it."""
    rng = np.random.default_rng(seed)
    clips = [f"{name}{i}" for i in range(6)]
    frame = rng.uniform(0, 0.4, (6, 100, 2)).astype(np.float32)
    events = ["filename\tonset\toffset\tevent_label"]
    for row, clip in enumerate(clips):
        for column, label in enumerate(LABELS):
            onset = rng.integers(5, 40)
            offset = onset + rng.integers(20, 50)
            frame[row, onset:offset, column] += rng.uniform(0.15, 0.5)
            events.append(f"{clip}.wav\t{onset / 10}\t{offset / 10}\t{label}")
    (folder / name).mkdir()
    scores = Scores(clips=clips, labels=LABELS, frame=frame, clip=frame.max(1), frame_seconds=0.1)
    write_scores(folder / name / "scores.h5", scores)
    (folder / name / "events.tsv").write_text("\n".join(events) + "\n")
    (folder / name / "durations.tsv").write_text(
        "".join(["filename\tduration\n", *(f"{c}.wav\t10.0\n" for c in clips)])
    )
    truth = ["--ground-truth", folder / name / "events.tsv", "--durations", folder / name / "durations.tsv"]
    return [folder / name / "scores.h5", *truth]


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[object], list[object], Path]:
    """A set that was tuned on, another one, and the tuned file."""
    folder = tmp_path_factory.mktemp("tuned")
    one, other = make_set(folder, "one", 1), make_set(folder, "other", 2)
    path = folder / "tuned.json"
    assert call(tune, *one, "--post-processing", "csebbs", "--what", "csebbs,threshold", "--out", path) == 0
    return one, other, path


def test_no_input_is_overwritten(
    sets: tuple[list[object], list[object], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given, _, _ = sets
    for path in given[0], given[2], given[4]:  # scores, truth, durations
        before = Path(str(path)).read_bytes()
        assert call(tune, *given, "--out", path) == 2
        assert "an input, which would be overwritten (write to another file or folder)" in capsys.readouterr().err
        assert Path(str(path)).read_bytes() == before
    (tmp_path / "a.wav").write_bytes(b"a recording")
    assert call(tune, "--model", "m", "--alarms-per-hour", "1", "--out", tmp_path / "a.wav", tmp_path) == 2
    assert "a.wav: a recording, which the output would replace" in capsys.readouterr().err


def test_durations_in_the_folder_of_the_truth_are_not_read_as_truth(
    sets: tuple[list[object], list[object], Path], tmp_path: Path
) -> None:
    (scores, *_), _, _ = sets
    folder, found = Path(str(scores)).parent, []
    for truth in (folder, folder / "events.tsv"):
        arguments = ["--ground-truth", truth, "--durations", folder / "durations.tsv", "--bias", "--set", "one"]
        assert call(tune, scores, *arguments, "--out", tmp_path / "tuned.json") == 0
        found.append(json.loads((tmp_path / "tuned.json").read_text()))
    assert {**found[0], "command": ""} == {**found[1], "command": ""}


def test_too_few_events_to_tune_on_are_said_in_one_line(
    sets: tuple[list[object], list[object], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert call(tune, *sets[0], "--out", tmp_path / "tuned.json") == 0
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "few events" in line)
    assert "(Dog 6, Speech 6): what is tuned on fewer than about 10 is guesswork" in line


SCORE = ("--bootstrap", "0", "--no-report", "--jobs", "1")


@pytest.mark.thorough
def test_what_is_tuned_on_one_set_is_used_on_another_and_refused_on_its_own(
    sets: tuple[list[object], list[object], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other, path = sets
    tuned = json.loads(path.read_text())
    assert (tuned["tuned_on"], tuned["tuned"], tuned["steps"]) == ("one", ["csebbs", "threshold"], ["csebbs"])
    assert call(score, *other, *SCORE, "--tuned", path, "--out", tmp_path / "result.json") == 0
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["post_processing"] == {"format": 2, "steps": ["csebbs"], "csebbs": tuned["csebbs"]}
    assert result["threshold"] == tuned["threshold"] and result["tuned_on"] == "one (csebbs, threshold)"
    assert len(set(tuned["threshold"].values())) == 2 and set(tuned["csebbs"]) == set(LABELS)
    capsys.readouterr()
    assert call(score, *one, *SCORE, "--tuned", path, "--out", tmp_path / "own.json") == 2
    assert "tuned on one, which holds 6 of the clips" in capsys.readouterr().err
    assert not (tmp_path / "own.json").exists()


# 0.64 is the default: typed, it counts like any other value
@pytest.mark.parametrize("typed", ["--csebbs-filter=0.9", "--csebbs-filter=0.64", "--median=0.9", "--threshold=0.5"])
def test_a_tuned_file_takes_no_options_beside_it(
    sets: tuple[list[object], list[object], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], typed: str
) -> None:
    _, other, path = sets
    capsys.readouterr()
    assert call(score, *other, *SCORE, "--tuned", path, typed, "--out", tmp_path / "result.json") == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"leave out {typed.partition('=')[0]})" in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--what", "maximum"], "'maximum' cannot be tuned (some of median, csebbs, "),
        (["--what", "csebbs"], "--what csebbs: that step is not in --post-processing (weak_mask, median)"),
        (["--tuned", "x.json"], "--tuned is for scoring"),
    ],
)
def test_what_cannot_be_tuned_is_one_line(
    sets: tuple[list[object], list[object], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    capsys.readouterr()
    assert call(tune, *sets[0], *options, "--out", tmp_path / "tuned.json") == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and message in said and not (tmp_path / "tuned.json").exists()


@pytest.mark.thorough
def test_a_cross_fitted_result_is_marked_and_prediction_does_not_use_it(
    sets: tuple[list[object], list[object], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, _, path = sets
    crossed = ("--post-processing", "csebbs", "--cross-fit", "csebbs,threshold")
    for name, options in (("validation", ()), ("validation_cross_fitted", crossed)):
        out = tmp_path / "exp" / "zero_shot" / name / "result.json"
        assert call(score, *one, *SCORE, *options, "--set", "validation", "--out", out) == 0
    result = json.loads(out.read_text())
    assert result["tuned_on"].startswith("the other half of this set") and result["threshold"] is None
    assert call(results, tmp_path / "exp", tmp_path / "RESULTS.md") == 0
    text = (tmp_path / "RESULTS.md").read_text()
    assert "| zero_shot (cross-fitted) |" in text and "| zero_shot |" in text
    assert "**zero_shot (cross-fitted): post-processing was tuned on this set's own labels" in text
    assert "zero_shot (cross-fitted)" in capsys.readouterr().out
    stored, found = of_experiment(tmp_path / "exp" / "zero_shot", LABELS)
    assert stored is not None and found is not None and found.parent.name == "validation"
    assert call(score, *one, *SCORE, *crossed, "--tuned", path, "--out", out) == 2
    assert "--cross-fit tunes by itself" in capsys.readouterr().err


def test_the_truth_may_lie_among_the_score_tables(sets: tuple, tmp_path: Path) -> None:
    scores, _, table, *rest = sets[0]
    export_tsv(tmp_path, read_scores(scores).flat())
    (tmp_path / "truth.tsv").write_text(Path(table).read_text())
    given = ["--ground-truth", tmp_path / "truth.tsv", *rest]
    assert call(tune, tmp_path, *given, "--out", tmp_path / "tuned.json") == 0


def test_a_budget_beyond_any_count_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(tune, "--model", "m", "--alarms-per-hour", "1e308", "--out", tmp_path / "t.json", tmp_path) == 2
    assert "1e308 is out of range (at least 0 and at most 1000000000)" in capsys.readouterr().err
