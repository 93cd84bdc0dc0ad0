import numpy as np
import pytest

from sed.evaluation.inference import Part, silence_padding


class Numbers:
    """A store whose features are the clip's number."""

    def __init__(self, clips):
        self.clips = [f"clip{i}" for i in range(clips)]
        self.valid = np.arange(clips)

    def read(self, rows):
        return np.asarray(rows)


@pytest.mark.parametrize(("clips", "parts", "batch"), [(10, 3, 2), (10, 3, 4), (7, 2, 3), (3, 4, 2), (1, 1, 16)])
def test_parts_have_every_clip_once_in_the_batches_of_one_job(clips, parts, batch):
    store = Numbers(clips)
    whole = [store.clips[i : i + batch] for i in range(0, clips, batch)]
    batches = []
    for number in range(1, parts + 1):
        part = Part(store, number=number, parts=parts, batch_size=batch)
        batches += [part.clips[i : i + batch] for i in range(0, len(part.clips), batch)]
        rows = part.read(np.arange(len(part.clips)))
        assert [store.clips[row] for row in rows] == part.clips
        np.testing.assert_array_equal(part.valid, rows)
    assert batches == whole


def test_frames_that_start_after_a_clip_are_set_to_0():
    frame = np.ones((2, 10, 1), np.float32)
    silence_padding(frame, np.array([1.0, 0.35]), 0.1)
    assert frame[0].all() and frame[1, :4].all() and not frame[1, 4:].any()
