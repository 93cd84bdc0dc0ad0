from contextlib import ExitStack

import numpy as np
import pytest
from loudness import POST, RATE, Loudness, burst, predict

from sed.errors import UserError
from sed.prediction.predictor import Output
from sed.prediction.recording import BaseSink, Track, run
from sed.prediction.session import Sinks
from sed.prediction.windows import WindowPlan


@pytest.mark.parametrize(
    "length, step",
    [*(pytest.param(length, 1, marks=pytest.mark.slow) for length in (0.25, 1.0, 3.5)), (1.0, 7)],
)
def test_an_event_across_a_window_border_is_one_event_in_its_place(length, step):
    """Try onsets `step` * 10 ms apart, so that the event crosses the first borders between windows: 6, 8 and 10 s."""
    middle = predict([burst(4, length, 26)])[0][0].result.detections[0].event
    onsets = np.arange(round((5.9 - length) * 100), 1010, step) / 100
    sinks, _, _ = predict([burst(onset, length, 26) for onset in onsets])
    for onset, sink in zip(onsets, sinks, strict=True):
        assert len(sink.result.detections) == 1, onset
        event = sink.result.detections[0].event
        assert abs(event.onset - onset - (middle.onset - 4)) <= 0.02 + 1e-9, onset  # two frames
        assert abs(event.offset - onset - (middle.offset - 4)) <= 0.02 + 1e-9, onset


def test_what_sinks_get_covers_the_recording_once():
    audio = np.random.default_rng(0).uniform(-1, 1, round(43.21 * RATE)).astype(np.float32)
    (sink,), problems, _ = predict([audio])
    assert problems == [("0", None)]
    np.testing.assert_array_equal(np.concatenate(sink.samples), audio)
    assert sink.result.seconds == pytest.approx(43.21)
    posteriors = np.concatenate(sink.posterior_frames)
    assert len(posteriors) == 3400 + 1000  # windows at 0, 2 ... 34
    assert (posteriors[:4321] > 0).all() and (posteriors[4321:] == 0).all()
    assert len(np.concatenate(sink.logmel_frames)) == 3400 + 1000


class Fine(Loudness):
    """A model with 2.5 frames of log-mel per frame of posteriors; each frame of log-mel holds its time in seconds."""

    feature_seconds = 0.004

    def __call__(self, waveforms):
        times = np.arange(2500)[:, None] * 0.004
        # the tests' waveforms begin with their time in seconds
        shown = [lambda waveform=waveform: waveform[0] + times for waveform in waveforms]
        return super().__call__(waveforms)._replace(logmel=shown)


def test_the_picture_does_not_drift_if_a_hop_is_not_a_whole_number_of_its_columns():
    audio = np.arange(60 * RATE, dtype=np.float32) / RATE
    (sink,), _, _ = predict([audio], overlap=7.99, model=Fine())  # windows 2.01 s apart: 502.5 columns
    times = np.concatenate(sink.logmel_frames)[:, 0]
    assert np.abs(times - np.arange(len(times)) * 0.004).max() <= 0.0021


class NoLogMel(Loudness):
    """A model whose log-mel nobody may ask for."""

    def __call__(self, waveforms):
        def asked():
            raise AssertionError("log-mel is not shown")

        return super().__call__(waveforms)._replace(logmel=[asked] * len(waveforms))


def test_logmel_is_not_computed_for_sinks_that_do_not_use_it():
    with pytest.raises(AssertionError, match="not shown"):
        predict([burst(1, 1, 30)], model=NoLogMel())
    model = NoLogMel()
    plan = WindowPlan.overlapping(samples=model.samples, frame_seconds=0.01, rate=RATE, frames=1000)
    track = Track.of("0", model, POST, plan, sink=Sinks([BaseSink()], ExitStack()))
    run([(track, lambda track: plan.cut(track.passed_on([burst(1, 1, 30)])))], model, batch_size=4)
    assert len(track.result.detections) == 1


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_batches_over_recordings_change_nothing(batch_size):
    lengths = [3, 10, 10.01, 0.5, 27, 18, 12]
    recordings = [
        np.random.default_rng(i).uniform(-1, 1, round(s * RATE)).astype(np.float32) for i, s in enumerate(lengths)
    ]
    sinks, _, model = predict(recordings, batch_size=batch_size)
    for audio, sink in zip(recordings, sinks, strict=True):
        (alone,), _, _ = predict([audio], batch_size=1)
        np.testing.assert_array_equal(np.concatenate(sink.posterior_frames), np.concatenate(alone.posterior_frames))
        assert sink.result.detections == alone.result.detections
    assert all(size == batch_size for size in model.batches[:-1])


def test_a_recording_that_breaks_off_harms_no_other():
    bad = np.zeros(30 * RATE, np.float32)
    bad[-5] = np.nan
    recordings = [burst(1, 1, 25), bad, burst(2, 1, 5), np.zeros(3, np.float32), np.zeros(0, np.float32)]
    sinks, problems, _ = predict(recordings)
    assert [sink.abandoned for sink in sinks] == [False, True, False, True, True]
    assert sinks[1].result is None and sinks[0].result.detections and sinks[2].result.detections
    assert dict(problems)["1"] == "broken" and "shorter than" in dict(problems)["3"]
    assert dict(problems)["4"] == "4: shorter than the model's 0.01 s analysis window (leave it out)"


def test_a_stream_s_events_are_passed_on_and_not_kept():
    found = []

    class Newest(BaseSink):
        def detections(self, detections):
            found.extend(detections)

    model = Loudness()
    plan = WindowPlan.live(samples=model.samples, frame_seconds=0.01, rate=RATE, frames=1000, hop=1, lookahead=0.5)
    track = Track.of("-", model, POST, plan, sink=Newest(), live=True)
    blocks = [burst(4, 1, 26)]
    run([(track, lambda track: plan.grow(track.passed_on(blocks)))], model, batch_size=1)
    assert len(found) == 1 and track.result.seconds == 26 and track.result.detections == []


class Failing(Loudness):
    """A model that cannot run its second batch."""

    def __call__(self, waveforms):
        output = super().__call__(waveforms)
        if len(self.batches) == 2:
            raise UserError("model.onnx: ONNX Runtime cannot run it")
        return output


def test_an_error_of_the_model_is_not_taken_for_one_of_the_recording_that_is_read():
    """The batch has windows of other recordings, too, which would be neither finished nor reported."""
    with pytest.raises(UserError, match=r"^model\.onnx"):
        predict([burst(1, 1, 9)] * 9, batch_size=2, model=Failing())


class Concurrent(Loudness):
    """A model on a device of its own: what was begun is computed when it is waited for."""

    concurrent = True

    def __init__(self):
        super().__init__()
        self.begun = 0

    def begin(self, waveforms):
        self.begun += 1
        assert self.begun - len(self.batches) <= 2  # batches that are computed at once
        return lambda: self(waveforms)


def test_a_concurrent_model_gives_the_same_and_a_recording_that_ends_in_an_error_is_left_out():
    recordings = [burst(1, 1, seconds) for seconds in (25, 10, 30, 3, 61, 12)]
    recordings[2][-5] = np.nan
    sinks, problems, model = predict(recordings, batch_size=2)
    others, same, concurrent = predict(recordings, batch_size=2, model=Concurrent())
    assert sorted(same) == sorted(problems) and dict(same)["2"] == "broken"
    assert concurrent.batches == model.batches
    for i, (one, other) in enumerate(zip(sinks, others, strict=True)):
        assert one.abandoned == other.abandoned == (i == 2)
        if i != 2:
            assert one.result.detections == other.result.detections != []
            np.testing.assert_array_equal(np.concatenate(one.posterior_frames), np.concatenate(other.posterior_frames))


def test_a_batch_is_begun_before_the_results_of_the_last_are_taken():
    model, waiting = Concurrent(), []
    predict([burst(1, 1, 60)], model=model, advance=lambda _: waiting.append(model.begun - len(model.batches)))
    assert max(waiting) == 1


def test_the_results_of_a_stream_do_not_wait_for_its_next_window():
    model, asked = Concurrent(), []
    plan = WindowPlan.live(samples=model.samples, frame_seconds=0.01, rate=RATE, frames=1000, hop=1, lookahead=0.5)

    def seconds():
        for _ in range(20):
            asked.append(len(model.batches))  # windows whose results were taken when this second is read
            yield np.zeros(RATE, np.float32)

    track = Track.of("0", model, POST, plan, sink=BaseSink(), live=True)
    run([(track, lambda track: plan.grow(track.passed_on(seconds())))], model, batch_size=1, ahead=False)
    # Windows end at whole seconds; each is cut when the first sample after its end has arrived.
    assert asked == [0, 0, *range(1, 19)]


@pytest.mark.parametrize("centred", [False, True])
def test_a_recording_may_end_just_after_a_window(centred):
    """Without overlap, the last window is then shorter than the model takes."""
    sinks, problems, _ = predict([burst(1, 1, 20.003), burst(1, 1, 20)], overlap=0, centred=centred)
    assert problems == [("0", None), ("1", None)]
    assert sinks[0].result.detections == sinks[1].result.detections != []
    posteriors = np.concatenate(sinks[0].posterior_frames)
    assert len(posteriors) == 3000 and (posteriors[2001:] == 0).all()


@pytest.mark.parametrize("overlap", [0, 4, 8])
def test_progress_counts_what_windows_share_once(overlap):
    recordings = [burst(1, 1, seconds) for seconds in (61.25, 10, 3, 12.5)]
    counted = []
    predict(recordings, overlap=overlap, advance=counted.append)
    assert sum(counted) == pytest.approx(61.25 + 10 + 3 + 12.5)
    assert max(counted) <= 10 and min(counted) >= 0


class Tagger(Loudness):
    """A model whose clip posterior is 1 if the window's middle is loud, else 0: only some windows have the label."""

    def __call__(self, waveforms):
        frame, _, logmel = super().__call__(waveforms)
        return Output(frame, (frame[:, 400:600].max(1) > 0.5).astype(np.float32), logmel)


@pytest.mark.thorough
@pytest.mark.parametrize("centred", [False, True])
def test_an_event_whose_label_one_of_its_windows_has_is_not_masked(centred):
    """Try onsets 0.35 s apart; the clip posterior of most of an event's windows is 0."""
    for onset in np.arange(10, 16, 0.35):
        (sink,), _, _ = predict([burst(onset, 1.5, 30)], model=Tagger(), centred=centred)
        (found,) = sink.result.detections
        assert abs(found.event.onset - onset) < 0.1 and abs(found.event.offset - onset - 1.5) < 0.1


def test_tags_are_the_highest_of_all_windows():
    (early, late, none), _, _ = predict([burst(1, 1, 30), burst(28, 1, 30), burst(1, 0, 30)])
    assert early.result.tags[0] > 0.9 and late.result.tags[0] > 0.9 and none.result.tags[0] < 0.1
