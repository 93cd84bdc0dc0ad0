"""Files that the command writes, and those that it must not."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from sed.bin import score
from sed.evaluation.postprocessing import options
from sed.evaluation.postprocessing.stored import write_tuned

HEAD = "filename\tonset\toffset\tevent_label\n"
TRUTH = f"{HEAD}a.wav\t1.0\t2.0\tDog\n"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "events.tsv").write_text(TRUTH)
    (tmp_path / "durations.tsv").write_text("filename\tduration\na.wav\t10\n")
    for folder in ("points", "scores"):
        (tmp_path / folder).mkdir()
    (tmp_path / "points" / "0.5.tsv").write_text(f"{HEAD}a.wav\t1.1\t2.0\tDog\n")
    (tmp_path / "scores" / "a.tsv").write_text("onset\toffset\tDog\n0\t1\t0.2\n1\t2\t0.9\n2\t10\t0.1\n")
    return tmp_path


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str, truth: str = "events.tsv") -> int:
    given = ["--ground-truth", truth, "--durations", "durations.tsv", "--bootstrap", "0", "--jobs", "1"]
    monkeypatch.setattr(sys, "argv", ["score", *arguments, *given, "--no-report"])
    with pytest.raises(SystemExit) as stopped:
        score.main()
    return int(stopped.value.code or 0)


@pytest.mark.parametrize(
    ("source", "out", "message"),
    [
        ("scores", "result.json", "events.tsv: an input, which would be overwritten (write to another file or folder)"),
        ("scores", "durations.tsv", "would be overwritten"),
        ("scores", "new/events.tsv", "--out new/events.tsv: a file of this name is written beside the result"),
        ("scores", "scores/result.json", "--out scores/result.json: in a folder whose tables are read"),
    ],
)
def test_no_input_is_overwritten(
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    source: str,
    out: str,
    message: str,
) -> None:
    before = {path: path.read_bytes() for path in place.rglob("*.tsv")}
    assert call(monkeypatch, source, "--out", out) == 2
    assert message in capsys.readouterr().err
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(("option", "name"), [("--tuned", "tuned.json"), ("--audio", "wav.scp")])
def test_no_file_of_an_option_is_overwritten(
    option: str, name: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = place / "elsewhere" / name
    file.parent.mkdir()
    if option == "--tuned":
        write_tuned(
            file, options.resolve(options.options_of(post_processing="none"), ["Dog"]), clips=["b"], facts={"tuned": []}
        )
    else:
        file.write_text("a a.wav\n")
    before = file.read_bytes()
    assert call(monkeypatch, "scores", option, str(file), "--out", str(file)) == 2
    assert f"{name}: an input, which would be overwritten" in capsys.readouterr().err
    assert file.read_bytes() == before


@pytest.mark.thorough
def test_events_of_an_earlier_scoring_do_not_stay_beside_a_result_without_detections(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of decisions at several thresholds (`points`) has no single list of detections."""
    (place / "new").mkdir()
    (place / "new" / "events.tsv").write_text(TRUTH)  # someone's own table
    assert call(monkeypatch, "points", "--out", "new/result.json") == 0
    assert (place / "new" / "events.tsv").read_text() == TRUTH
    assert call(monkeypatch, "scores", "--out", "scored/result.json") == 0
    assert (place / "scored" / "events.tsv").exists()
    assert call(monkeypatch, "points", "--out", "scored/result.json") == 0
    assert not (place / "scored" / "events.tsv").exists()


@pytest.mark.thorough
def test_an_earlier_result_does_not_stay_beside_files_of_a_later_scoring(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = place / "scored" / "result.json"
    assert call(monkeypatch, "scores", "--out", "scored/result.json") == 0
    (place / "scored" / "report.html").write_text("of the scoring before")
    found = out.read_text()
    assert call(monkeypatch, "scores", "--out", "scored/result.json") == 0
    assert json.loads(out.read_text()).keys() == json.loads(found).keys()
    assert not (place / "scored" / "report.html").exists()

    def killed(*_: object, **__: object) -> None:
        raise SystemExit(9)

    monkeypatch.setattr("sed.evaluation.metrics.events.write_events", killed)
    assert call(monkeypatch, "scores", "--out", "scored/result.json") == 9
    assert not out.exists()


def test_detections_in_the_folder_of_the_truth_are_not_read_as_truth(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "labels").mkdir()
    (place / "labels" / "a.txt").write_text("1.0\t2.0\tDog\n")
    (place / "labels" / "found.tsv").write_text(f"{HEAD}a\t5\t6\tDog\n")
    assert call(monkeypatch, "labels/found.tsv", "--out", "scored/result.json", truth="labels") == 0
    assert json.loads((place / "scored" / "result.json").read_text())["event_f1_macro"] == 0
    assert call(monkeypatch, "labels/found.tsv", "--out", "labels/result.json", truth="labels") == 2


def test_other_inputs_in_the_folder_of_the_truth_are_not_read_as_truth(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "labels").mkdir()
    (place / "labels" / "a.txt").write_text("1.0\t2.0\tDog\n")
    (place / "labels" / "durations.tsv").write_text("filename\tduration\na.wav\t10\nb.wav\t10\n")
    (place / "labels" / "labels.txt").write_text("Dog\n")
    (place / "labels" / "groups.tsv").write_text("filename\troom\na.wav\tkitchen\n")
    (place / "labels" / "left_out.txt").write_text("b\n")
    options = ["--labels", "labels/labels.txt", "--groups", "labels/groups.tsv", "--group-by", "room"]
    options += ["--exclude", "labels/left_out.txt", "--durations", "labels/durations.tsv"]
    arguments = ["scores", *options, "--ground-truth", "labels", "--bootstrap", "0", "--jobs", "1", "--no-report"]
    monkeypatch.setattr(sys, "argv", ["score", *arguments, "--out", "scored/result.json"])
    with pytest.raises(SystemExit) as stopped:
        score.main()
    assert not stopped.value.code
    assert json.loads((place / "scored" / "result.json").read_text())["event_f1_macro"] == 1


@pytest.mark.parametrize("truth", ["labels", "events.tsv"])
def test_an_earlier_result_below_a_folder_of_labels_is_not_read(
    place: Path, monkeypatch: pytest.MonkeyPatch, truth: str
) -> None:
    (place / "labels").mkdir()
    (place / "labels" / "a.csv").write_text("filename,onset,offset,label\na.wav,1.0,2.0,Dog\na.wav,5,6,Dog\n")
    source = "events.tsv" if truth == "labels" else "labels"
    found = []
    for _ in range(2):
        assert call(monkeypatch, source, "--out", "labels/scored/result.json", truth=truth) == 0
        found.append((place / "labels" / "scored" / "events.tsv").read_text())
    assert found[0] == found[1]


def test_a_threshold_for_decisions_is_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "points/0.5.tsv", "--threshold", "0.3", "--out", f"{place}/new/result.json") == 2
    assert "--threshold: points/0.5.tsv has decisions, which no threshold changes" in capsys.readouterr().err


def test_a_table_that_no_scoring_has_written_is_not_replaced(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Such as a data directory's events.tsv, when another table is the ground truth."""
    (place / "data").mkdir()
    (place / "data" / "events.tsv").write_text("another's")
    assert call(monkeypatch, "points/0.5.tsv", "--out", "data/result.json") == 2
    assert "data/events.tsv: would be replaced, and no scoring seems to have written it" in capsys.readouterr().err
    assert (place / "data" / "events.tsv").read_text() == "another's" and not (place / "data" / "result.json").exists()


@pytest.mark.thorough
def test_a_second_result_in_one_folder_names_the_files_that_it_replaces(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = []
    for name in ("one", "two", "two"):
        (place / "scored").mkdir(exist_ok=True)
        (place / "scored" / "report.html").touch()
        assert call(monkeypatch, "points/0.5.tsv", "--out", f"scored/{name}.json") == 0
        said.append("scored/two.json: events.tsv of another result" in capsys.readouterr().err)
    assert said == [False, True, False]
