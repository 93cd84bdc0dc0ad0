"""The Python API against the command line: same events, posteriors and scores."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from tiny_model import LABELS, call, save_tiny, write_sounds

import sed
from sed.bin import predict
from sed.bin import score as score_command
from sed.data.audio import read_audio
from sed.data.tables import read_events_tsv


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("api") / "model")


@pytest.fixture(scope="module")
def model(experiment: Path) -> sed.Model:
    return sed.load(experiment, device="cpu", threads=1)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("recordings")
    lengths = [(10, 16000), (23.4, 44100), (3.3, 22050)]
    return [write_sounds(folder / f"r{i}.wav", seconds, rate, seed=i) for i, (seconds, rate) in enumerate(lengths)]


def rounded(events: list[sed.DetectedEvent]) -> list[tuple[float, float, str]]:
    return sorted((round(event.onset, 3), round(event.offset, 3), event.label) for event in events)


@pytest.mark.thorough
def test_events_and_posteriors_are_those_of_the_command(
    model: sed.Model, experiment: Path, recordings: list[Path], tmp_path: Path
) -> None:
    args = ["--model", experiment, "--device", "cpu", "--format", "tsv,csv", "--out-dir", tmp_path, "--threads", 1]
    assert call(predict, *args, *recordings) == 0
    found = model.detect(recordings)
    for path, events in zip(recordings, found, strict=True):
        assert events == sorted(events)
        written = read_events_tsv(tmp_path / f"{path.stem}.tsv").get(path.stem, [])
        assert rounded(events) == sorted((e.onset, e.offset, e.label) for e in written)
        table = np.loadtxt(tmp_path / f"{path.stem}.csv", delimiter=",", skiprows=1, usecols=range(3, 3 + len(LABELS)))
        np.testing.assert_allclose(model.posteriors(path), table, atol=1e-4)
    assert any(found)
    assert model.detect(recordings[1]) == found[1]


@pytest.mark.thorough
def test_an_array_gives_what_its_file_gives(model: sed.Model, recordings: list[Path]) -> None:
    samples, rate = soundfile.read(recordings[1], dtype="float32")
    expected = model.detect(recordings[1])
    assert rounded(model.detect(samples, rate)) == rounded(expected)
    assert rounded(model.detect(np.stack([samples, samples]), rate)) == rounded(expected)
    assert rounded(model.detect(read_audio(recordings[1], model.sample_rate), model.sample_rate)) == rounded(expected)


def test_a_list_of_one_recording_gives_a_list_of_one_list(model: sed.Model, recordings: list[Path]) -> None:
    assert model.detect(recordings[:1]) == [model.detect(recordings[0])]


def test_a_tuple_of_recordings_is_several_not_one_of_several_channels(model: sed.Model, recordings: list[Path]) -> None:
    arrays = tuple(read_audio(path, model.sample_rate)[:100_000] for path in recordings[:2])
    expected = [rounded(model.detect(array, model.sample_rate)) for array in arrays]
    assert [rounded(events) for events in model.detect(arrays, model.sample_rate)] == expected
    assert model.detect(tuple(recordings[:1])) == [model.detect(recordings[0])]


@pytest.mark.thorough
def test_a_recording_may_end_just_after_a_window_without_overlap(model: sed.Model, recordings: list[Path]) -> None:
    samples = read_audio(recordings[1], model.sample_rate)[: 20 * model.sample_rate + 10]
    found, without_end = (model.detect(some, model.sample_rate, overlap=0) for some in (samples, samples[:-10]))
    before, expected = ([event for event in some if event.offset < 19] for some in (found, without_end))
    assert before == expected != []  # later ones may go on into the last window
    assert max(event.offset for event in found) <= 20.01  # the frame of 10 ms that has the 10 samples


def test_thresholds_are_given_for_all_labels_or_by_label(model: sed.Model, recordings: list[Path]) -> None:
    own = model.detect(recordings[0])
    assert {event.label for event in own} == {*LABELS}
    assert not model.detect(recordings[0], threshold=1.0)
    only = model.detect(recordings[0], threshold=dict.fromkeys(LABELS[1:], 1.0))
    assert rounded(only) == [event for event in rounded(own) if event[2] == LABELS[0]]
    with pytest.raises(sed.UserError, match="Bark"):
        model.detect(recordings[0], threshold={"Bark": 0.5})


@pytest.mark.thorough
def test_a_stream_in_blocks_of_any_size_gives_the_same_events(model: sed.Model, recordings: list[Path]) -> None:
    samples = read_audio(recordings[1], model.sample_rate)
    small = list(model.stream((samples[i : i + 1000] for i in range(0, len(samples), 1000)), model.sample_rate))
    large = list(model.stream((samples[i : i + 77777] for i in range(0, len(samples), 77777)), model.sample_rate))
    assert small == large
    assert small


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"which": "best"}, "which 'best': unknown (one of teacher, student)"),
        ({"precision": "float16"}, "precision 'float16': unknown (one of float32, bfloat16, int8)"),
        ({"threads": 0}, "threads 0: 1 to 1024 are expected (None: as many as there are idle processors)"),
        ({"threads": 1025}, "threads 1025: 1 to 1024 are expected (None: as many as there are idle processors)"),
    ],
)
def test_unknown_values_of_options_are_refused(experiment: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(sed.UserError) as error:
        sed.load(experiment, device="cpu", **options)  # type: ignore[arg-type]
    assert str(error.value) == message


@pytest.mark.thorough
def test_a_stream_may_pause_but_not_end_within_the_first_analysis_window(
    model: sed.Model, recordings: list[Path]
) -> None:
    samples = read_audio(recordings[0], model.sample_rate)
    pausing = [samples[:5000], np.zeros(0, np.float32), samples[5000:]]
    expected = list(model.stream([samples], model.sample_rate))
    assert list(model.stream(pausing, model.sample_rate)) == expected != []
    with pytest.raises(sed.UserError, match=r"^the stream: shorter than the model's 0.025 s"):
        list(model.stream([samples[:10]], model.sample_rate))


def test_recordings_and_models_that_cannot_be_read_are_refused_in_one_line(model: sed.Model, tmp_path: Path) -> None:
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"")
    for recording, message in ((bad, "empty"), (tmp_path / "none.wav", "no such"), (np.zeros(9), "without their rate")):
        with pytest.raises(sed.UserError, match=message) as error:
            model.detect(recording)
        assert "\n" not in str(error.value)
    with pytest.raises(sed.UserError, match="no such model"):
        sed.load(tmp_path / "nothing")


@pytest.mark.parametrize("files", [np.array(["a.wav", "b.wav"]), (name for name in ["a.wav"]), [["a.wav"]], None])
def test_a_column_of_files_is_not_taken_for_samples_that_lack_their_rate(model: sed.Model, files: Any) -> None:
    with pytest.raises(sed.UserError, match=r"^array 0: neither a file nor .* \(give several files as a list\)$"):
        model.detect(files)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"overlap": 100}, "overlap 100: "),
        ({"overlap": math.nan}, "overlap nan: "),
        ({"threshold": 7}, "threshold: 7.0 is out of range"),
        ({"rate": 0}, "rate 0: out of range"),
        ({"rate": math.inf}, "rate inf: out of range"),
        ({"rate": 44.1}, "rate 44.1: out of range (in Hz,"),
        ({"batch_size": -1}, "batch_size -1: out of range"),
    ],
)
def test_refusals_name_the_argument_of_detect(model: sed.Model, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(sed.UserError) as error:
        model.detect(np.zeros(model.sample_rate), **{"rate": model.sample_rate, **arguments})
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hop": 0.001}, "hop 0.001: shorter than"),
        ({"hop": math.nan}, "hop nan: out of range"),
        ({"lookahead": 100}, "hop 1 and lookahead 100 together exceed"),
        ({"lookahead": -1}, "lookahead -1: out of range"),
        ({"rate": -1}, "rate -1: out of range"),
    ],
)
def test_refusals_name_the_argument_of_stream(model: sed.Model, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(sed.UserError) as error:
        list(model.stream([np.zeros(model.sample_rate)], **{"rate": model.sample_rate, **arguments}))
    assert str(error.value).startswith(message)


def test_a_name_that_the_package_lacks_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="lod"):
        sed.lod  # noqa: B018


def test_scores_are_those_of_the_command(tmp_path: Path) -> None:
    truth, predicted, durations = (tmp_path / f"{name}.tsv" for name in ("truth", "predicted", "durations"))
    header = "filename\tonset\toffset\tevent_label\n"
    truth.write_text(header + "a.wav\t1\t2\tDog\na.wav\t4\t9\tSpeech\nb.wav\t0\t3\tSpeech\n")
    predicted.write_text(header + "a.wav\t1.1\t2\tDog\na.wav\t4\t6\tSpeech\nb.wav\t0.1\t3\tSpeech\nb.wav\t5\t6\tDog\n")
    durations.write_text("filename\tduration\na.wav\t10\nb.wav\t10\n")
    out = tmp_path / "out" / "result.json"
    args = [predicted, "--ground-truth", truth, "--durations", durations, "--out", out, "--jobs", 1, "--bootstrap", 0]
    assert call(score_command, *args) == 0
    expected = json.loads(out.read_text())
    of_files = sed.score(predicted, truth, durations)
    of_objects = sed.score(sed.read_events(predicted), sed.read_events(truth), {"a": 10.0, "b": 10.0})
    assert of_files == of_objects
    assert of_files == {key: expected[key] for key in of_files}
    # Dog: a hit and a false alarm. Speech: a hit; and an offset 3 s early, beyond the collar of a fifth of 5 s.
    assert of_files["event_f1_macro"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    with pytest.raises(sed.UserError, match="duration"):
        sed.score(predicted, truth, {"a": 10.0})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bootstrap": -1}, "bootstrap -1: out of range"),
        ({"labels": ["Dog", "Dog"]}, "labels: 'Dog' comes twice"),
        ({"scores": ["best"]}, "scores best: no such scores"),
    ],
)
def test_refusals_name_the_argument_of_score(arguments: dict[str, Any], message: str) -> None:
    events = {"a": [sed.Event(1.0, 2.0, "Dog")]}
    with pytest.raises(sed.UserError) as error:
        sed.score(events, events, **{"durations": {"a": 10.0}, **arguments})
    assert str(error.value).startswith(message)


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sed, sys; print([name for name in ('torch', 'numpy', 'h5py', 'yaml') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
