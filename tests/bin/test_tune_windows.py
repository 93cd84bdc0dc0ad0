"""The choice of a model's windows, and the commands that use it."""

import json
import shutil
from pathlib import Path

import pytest
from tiny_model import call, save_tiny, write_sounds

from sed.bin import benchmark_windows, export_onnx, pack, predict, tune_windows
from sed.data.synthesis.sound_families import FAMILIES
from sed.prediction.model import open_model
from sed.prediction.window_settings import WindowSettings
from sed.prediction.window_tuning import Measured

SMALL = ["--short", 2, "--long", 0, "--kinds", "sparse", "--jobs", 1]


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment whose windows were chosen."""
    folder = save_tiny(tmp_path_factory.mktemp("tuned") / "ast", labels=sorted(FAMILIES))
    assert call(tune_windows, *SMALL, "--overlaps", "0,0.5", "--device", "cpu", folder) == 0
    return folder


def store(folder: Path, **changed: object) -> None:
    """Change fields of an experiment's windows.json."""
    path = folder / "windows.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


def test_every_overlap_is_measured_with_and_without_centring_and_stored_with_the_soundscapes(tuned: Path) -> None:
    stored = json.loads((tuned / "windows.json").read_text())
    assert [(one["overlap"], one["centre_events"]) for one in stored["measured"]] == [
        (0.0, True), (0.0, False), (5.0, True), (5.0, False),  # overlaps of 0 and 0.5 windows, in seconds
    ]  # fmt: skip
    assert stored["tuned_on"] == {"soundbank": "", "seed": 1, "minutes": 2}


def test_the_highest_mean_is_chosen(tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F1 is made up, since that of this untrained model is 0 with all settings."""
    folder = shutil.copytree(tuned, tmp_path / "exp")
    made_up = [(0.1, 0.2), (0.5, 0.1), (0.3, 0.4), (0.0, 0.5)]  # sparse and dense; means 0.15, 0.3, 0.35, 0.25

    def measure(_predictor: object, _post: object, _recordings: object, settings: list, **_: object) -> list[Measured]:
        return [
            Measured(one, {"sparse": sparse, "dense": dense})
            for one, (sparse, dense) in zip(settings, made_up, strict=True)
        ]

    monkeypatch.setattr("sed.prediction.window_tuning.measure", measure)
    assert call(tune_windows, *SMALL, "--overlaps", "0,0.5", "--device", "cpu", folder) == 0
    stored = json.loads((folder / "windows.json").read_text())
    assert (stored["overlap"], stored["centre_events"]) == (5.0, True)


@pytest.mark.thorough
def test_every_form_of_the_model_predicts_as_was_chosen(
    tuned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = shutil.copytree(tuned, tmp_path / "exp")
    store(model, overlap=2.5, centre_events=False)
    assert call(pack, model, tmp_path / "packed") == 0
    assert call(export_onnx, tmp_path / "packed", tmp_path / "model.onnx") == 0
    write_sounds(tmp_path / "a.wav", 27)
    capsys.readouterr()

    def events(*options: object) -> str:
        assert call(predict, "--threads", 1, "--device", "cpu", *options, tmp_path / "a.wav") == 0
        return capsys.readouterr().out

    chosen = events("--model", model)
    assert chosen == events("--model", model, "--overlap", 2.5, "--no-centre-events")
    assert chosen == events("--model", tmp_path / "packed") == events("--onnx", tmp_path / "model.onnx")
    other = events("--model", model, "--overlap", 8, "--centre-events")
    assert chosen != other == events("--onnx", tmp_path / "model.onnx", "--overlap", 8, "--centre-events")
    assert (
        "windows overlap by 2.5 s, events that they share are not centred"
        in (tmp_path / "packed/README.md").read_text()
    )


def test_a_model_that_was_never_tuned_has_the_defaults(tmp_path: Path) -> None:
    assert open_model(save_tiny(tmp_path / "exp")).windows == WindowSettings()


def test_soundscapes_that_chose_are_not_reported_on(tuned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(benchmark_windows, *SMALL, "--seed", 1, tuned) == 2
    assert "--seed 1 chose its windows (take another seed)" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text, words",
    [
        ("{", "not JSON"),
        ("[]", "not what this version"),
        ('{"format": 2}', "not what this version"),
        ('{"format": 1, "overlap": 1}', "broken settings of windows"),
        ('{"format": 1, "overlap": -1, "centre_events": true, "tuned_on": null}', "an overlap that is negative"),
        (f'{{"format": 1, "overlap": {10**400}, "centre_events": true, "tuned_on": null}}', "an overlap that is"),
        ('{"format": 1, "overlap": 1, "centre_events": "yes", "tuned_on": null}', "broken settings of windows"),
    ],
)
def test_a_broken_choice_is_named_in_the_last_line(
    tmp_path: Path, text: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = save_tiny(tmp_path / "exp")
    (folder / "windows.json").write_text(text)
    write_sounds(tmp_path / "a.wav", 1)
    assert call(predict, "--model", folder, tmp_path / "a.wav") == 2
    err = capsys.readouterr().err.strip().splitlines()
    assert words in err[-1] and "tune again" in err[-1] and "Traceback" not in "".join(err)


def test_windows_are_chosen_on_recordings_joined_from_their_clips(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, data = save_tiny(tmp_path / "exp"), tmp_path / "data"
    (tmp_path / "wavs").mkdir()
    write_sounds(tmp_path / "wavs/x_0.000_10.000.wav", 10), write_sounds(tmp_path / "wavs/x_10.000_14.000.wav", 4)
    data.mkdir()
    paths = sorted((tmp_path / "wavs").iterdir())
    (data / "wav.scp").write_text("".join(f"{path.stem} {path}\n" for path in paths))
    label = open_model(folder).model.labels[0]
    (data / "events.tsv").write_text(
        "filename\tonset\toffset\tevent_label\n"
        f"x_0.000_10.000.wav\t9.0\t10.0\t{label}\nx_10.000_14.000.wav\t0.0\t1.0\t{label}\n"
    )
    assert call(tune_windows, "--clips", data, "--overlaps", "0,0.8", "--device", "cpu", folder) == 0
    printed, stored = capsys.readouterr(), json.loads((folder / "windows.json").read_text())
    assert "1 of 1 recordings of several clips without a gap" in printed.err
    assert printed.out.count("recordings ") >= 4 and "an optimistic number" in printed.out
    assert stored["tuned_on"] == {"recordings": 1, "minutes": 0.2} and len(stored["measured"]) == 4
    assert call(pack, folder, tmp_path / "packed") == 0
    assert "chosen on 1 recordings of 0.2 minutes in all" in (tmp_path / "packed/README.md").read_text()
    (data / "wav.scp").write_text(f"{paths[0].stem} {paths[0]}\n")
    (folder / "windows.json").unlink()
    assert call(tune_windows, "--clips", data, "--device", "cpu", folder) == 0
    assert "so no windows are chosen" in capsys.readouterr().err and not (folder / "windows.json").exists()
    assert call(tune_windows, "--clips", data, "--soundbank", tmp_path, folder) == 2
    assert "(give one of them)" in capsys.readouterr().err


def test_only_experiments_are_tuned(tuned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(pack, tuned, tmp_path / "packed") == 0
    assert call(tune_windows, *SMALL, tmp_path / "packed") == 2
    assert "a packed model" in capsys.readouterr().err
    assert call(tune_windows, *SMALL, tuned / "final.pt") == 2
    assert "no experiment's folder" in capsys.readouterr().err
