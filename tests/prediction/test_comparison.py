from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_model import call, sounds

from sed.bin import predict as predict_command
from sed.data.tables import Event
from sed.evaluation.pieces import in_pieces
from sed.evaluation.postprocessing.options import options_of
from sed.evaluation.postprocessing.pipeline import PostProcessing
from sed.prediction.comparison import Remembered, Scorer, predict
from sed.prediction.predictor import Immediate, Output, Predictor
from sed.prediction.session import open_predictor
from sed.prediction.soundscapes import Recording
from sed.prediction.window_settings import WindowSettings


def opened(experiment: Path) -> tuple[Predictor, PostProcessing]:
    predictor, post, _ = open_predictor(
        model=str(experiment),
        onnx=None,
        which="teacher",
        device="cpu",
        precision="float32",
        threads=1,
        options=options_of(),
    )
    return predictor, post


@pytest.mark.thorough
@pytest.mark.parametrize("overlap, centre", [(0.0, False), (0.8, False), (0.5, True)])
def test_predict_finds_the_events_of_the_command(
    experiment: Path, tmp_path: Path, overlap: float, centre: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    predictor, post = opened(experiment)
    audio = sounds(27)
    soundfile.write(tmp_path / "a.wav", audio, 16000, subtype="FLOAT")
    options = ["--threads", 1, "--device", "cpu", "--overlap", 10 * overlap]
    options += ["--centre-events" if centre else "--no-centre-events"]
    assert call(predict_command, "--model", experiment, *options, tmp_path / "a.wav") == 0
    rows = [line.split("\t")[1:] for line in capsys.readouterr().out.splitlines()[1:]]
    for one in (predictor, Remembered(predictor)):
        (found,) = predict([audio], one, post, windows=WindowSettings(overlap=10 * overlap, centre_events=centre))
        assert [(float(a), float(b), label) for a, b, label in rows] == [tuple(event) for event in found]
    assert len(found) > 3


def test_a_window_is_run_once(experiment: Path) -> None:
    predictor, _ = opened(experiment)
    windows = [sounds(10, seed=seed) for seed in range(3)]
    plain = predictor(windows)
    runs: list[int] = []

    class Counted(Immediate):
        def __getattr__(self, name: str) -> object:
            return getattr(predictor, name)

        def __call__(self, waveforms: list[np.ndarray]) -> Output:
            runs.append(len(waveforms))
            return predictor(waveforms)

    remembered = Remembered(Counted())
    for _ in range(2):
        again = remembered([windows[k] for k in (0, 1, 0, 2)])
        np.testing.assert_allclose(again.frame, plain.frame[[0, 1, 0, 2]], atol=1e-5)
        np.testing.assert_allclose(again.clip, plain.clip[[0, 1, 0, 2]], atol=1e-5)
        again.frame[:] = 0  # a caller that changes its output does not change the cache
    assert runs == [3]


def test_whole_events_and_pieces_are_scored_apart() -> None:
    events = [Event(3.0, 5.0, "a"), Event(8.0, 13.0, "b"), Event(55.0, 58.0, "a")]
    recordings = [Recording(np.zeros(1), events, 1), Recording(np.zeros(1), events[:1], 1)]
    scorer = Scorer(recordings, ["a", "b"], 10.0)
    right = scorer.of_recordings("right", [events, events[:1]])
    clips = scorer.of_clips("clips", [piece for one in (events, events[:1]) for piece in in_pieces(one, 10.0, 6)])
    for setting in (right, clips):
        assert setting.whole.total().macro() == setting.pieces.total().macro() == 1
        assert setting.whole.truth.tolist() == [[2, 1], [1, 0]] and setting.pieces.truth.tolist() == [[2, 2], [1, 0]]
    late = scorer.of_recordings("late", [[Event(8.0, 16.0, "b")], []])  # one border wrong: one piece of two is right
    assert late.whole.tp.sum() == 0 and late.pieces.tp.sum() == 1
