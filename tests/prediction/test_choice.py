"""The choice of recordings to label next, against its formulas in plain Python, and its properties."""

from __future__ import annotations

import json
import math
import os
import re
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_model import call, write_sounds

from sed import files
from sed.bin import choose as command
from sed.prediction.choice import Doubt, DoubtSink, choose, entropy, labelled_among
from sed.prediction.recording import Result


def measured(posteriors, logmel, thresholds, *, frame_seconds=0.1, pieces=1) -> Doubt:
    labels = [f"class {k}" for k in range(posteriors.shape[1])]
    sink = DoubtSink(labels, thresholds, frame_seconds)
    for part in np.array_split(posteriors, pieces):
        sink.posteriors(part)
    for part in np.array_split(logmel, pieces):
        sink.logmel(part)
    sink.finish(Result("x.wav", len(posteriors) * frame_seconds))
    assert sink.doubt is not None
    return sink.doubt


def bits(p, t):
    """Compute the entropy from odds: the posterior's over the threshold's."""
    odds = p / (1 - p) / (t / (1 - t))
    q = odds / (1 + odds)
    return -sum(x * math.log2(x) for x in (q, 1 - q) if x > 0)


@pytest.mark.parametrize("frames", [4, 10, 47])
@pytest.mark.parametrize("pieces", [1, 3])
def test_a_recording_is_as_uncertain_as_its_most_uncertain_second(frames, pieces):
    rng = np.random.default_rng(frames)
    posteriors, logmel = rng.uniform(0.01, 0.99, (frames, 3)), rng.normal(-40, 9, (frames * 2, 5))
    thresholds = [0.5, 0.2, 0.7]
    doubt = measured(posteriors, logmel, thresholds, pieces=pieces)
    rows = [[bits(p, t) for p, t in zip(row, thresholds, strict=True)] for row in posteriors.tolist()]
    seconds = [rows[i : i + 10] for i in range(0, frames - 9, 10)] or [rows]
    means = [sum(map(max, second)) / len(second) for second in seconds]
    second = means.index(max(means))  # blocks of 1 s: the index is the onset
    assert doubt.uncertainty == pytest.approx(max(means)) and doubt.onset == pytest.approx(second)
    by_class = [sum(row[k] for row in seconds[second]) for k in range(3)]
    assert doubt.label == f"class {by_class.index(max(by_class))}"
    mean = logmel.mean(0)
    np.testing.assert_allclose(doubt.descriptor, [*(mean - mean.mean()), *logmel.std(0)], rtol=1e-6)


@given(st.floats(0.05, 0.95), st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_on_one_side_of_the_threshold_the_nearer_posterior_is_more_uncertain(threshold, first, second):
    at, of_first, of_second = entropy(np.array([[threshold], [first], [second]]), np.array([threshold]))[:, 0]
    assert at == pytest.approx(1) and min(of_first, of_second) >= 0
    if (first - threshold) * (second - threshold) >= 0 and abs(first - threshold) < abs(second - threshold) - 1e-6:
        assert of_first > of_second


def by_hand(uncertainties, descriptors, count, labelled):
    """Return (place, distance) of each chosen recording, by weighted farthest-first traversal in plain Python."""
    columns = list(zip(*descriptors, strict=True))
    means = [sum(column) / len(column) for column in columns]
    spreads = [math.sqrt(sum((x - m) ** 2 for x in c) / len(c)) for c, m in zip(columns, means, strict=True)]

    def distance(a, b):
        parts = [((x - y) / s) ** 2 for x, y, s in zip(descriptors[a], descriptors[b], spreads, strict=True) if s > 0]
        return math.sqrt(sum(parts) / len(columns))

    taken, result = list(labelled), []
    for _ in range(count):
        left = [i for i in range(len(descriptors)) if i not in taken]
        away = {i: min((distance(i, j) for j in taken), default=1.0) for i in left}
        away = {i: d for i, d in away.items() if d > 1e-6}
        if not away:
            break
        best = max(away, key=lambda i: uncertainties[i] * away[i])
        result.append((best, away[best] if taken else math.nan))
        taken.append(best)
    return result


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(2, 12), st.integers(1, 12), st.integers(0, 2))
def test_the_order_is_that_of_the_formula(seed, size, count, labelled_count):
    rng = np.random.default_rng(seed)
    uncertainties, descriptors = rng.random(size).tolist(), rng.normal(size=(size, 4))
    labelled = rng.permutation(size)[: min(labelled_count, size - 1)].tolist()
    found = choose(uncertainties, descriptors, count, labelled)
    expected = by_hand(uncertainties, descriptors.tolist(), count, labelled)
    assert [one.place for one in found] == [place for place, _ in expected]
    np.testing.assert_allclose([one.distance for one in found], [distance for _, distance in expected], rtol=1e-9)


def test_copies_are_chosen_once_and_never_where_one_is_labelled():
    descriptors = np.random.default_rng(0).normal(size=(6, 8))
    twice = np.concatenate([descriptors, descriptors])
    uncertainties = np.linspace(0.1, 1, 12)
    assert {one.place % 6 for one in choose(uncertainties, twice, 12)} == set(range(6))
    assert len(choose(uncertainties, twice, 12)) == 6
    assert {one.place % 6 for one in choose(uncertainties, twice, 12, [2, 9])} == {0, 1, 4, 5}


def test_bins_at_the_floor_in_all_recordings_do_not_count():
    """Rounding makes the deviation of such bins differ by some 1e-7 between recordings of different length."""
    rng = np.random.default_rng(0)
    recordings = [rng.normal(-9, 2, (30 * (37 + n), 6)).astype(np.float32) for n in range(20)]
    for logmel in recordings:
        logmel[:, 3:] = -15.9423847
    descriptors = np.stack(
        [measured(np.full((10, 1), 0.4), logmel, [0.5], pieces=30).descriptor for logmel in recordings]
    )
    exact = descriptors.copy()
    exact[:, 9:] = 0  # the deviations of the bins at the floor
    found, wanted = choose([0.5] * 20, descriptors, 5), choose([0.5] * 20, exact, 5)
    assert [one.place for one in found] == [one.place for one in wanted]
    assert [one.distance for one in found[1:]] == pytest.approx([one.distance for one in wanted[1:]], rel=1e-6)


@pytest.mark.parametrize(
    ("known", "labelled"),
    [
        (["day1/a.wav"], [0]),  # as `predict` and the page name recordings of one name
        (["day2/a"], [1, 2]),
        (["a.flac"], [2]),
        (["a.wav"], [0, 1]),
        (["a"], [0, 1, 2]),
        (["elsewhere/a.wav"], [0, 1, 2]),
        (["/moved/b.wav", "c.wav"], [3]),
        ([], []),
    ],
)
def test_labels_of_one_recording_do_not_count_for_another_of_its_name(known, labelled):
    assert labelled_among(["day1/a.wav", "day2/a.wav", "day2/a.flac", "day2/b.wav"], known) == labelled


@pytest.mark.thorough
def test_the_command_lists_the_choice_and_its_page_shows_it_in_that_order(experiment, tmp_path, capsys):
    folder = tmp_path / "recordings"
    folder.mkdir()
    for number in range(5):
        write_sounds(folder / f"r{number}.wav", 3, seed=number)
    shutil.copy(folder / "r1.wav", folder / "copy.wav")
    (tmp_path / "done.tsv").write_text("filename\tonset\toffset\tevent_label\nr4.wav\t\t\t\n")
    page, out = tmp_path / "page.html", tmp_path / "list.tsv"
    options = ("--model", experiment, "--labelled", tmp_path / "done.tsv", "--out", out, "--html", page)
    (folder / "broken.wav").write_text("text")
    assert call(command, *options, folder) == 1  # one could not be read, the others are done
    assert "broken.wav: not audio" in capsys.readouterr().err
    header, *rows = [line.split("\t") for line in out.read_text().splitlines()]
    assert header == ["filename", "uncertainty", "distance", "onset", "event_label"]
    names = [row[0].rsplit("/", 1)[-1] for row in rows]
    assert len(names) == 4 and {"r0.wav", "r2.wav", "r3.wav"} < set(names) and "r4.wav" not in names
    infos = re.findall(r'id="info-\d+">(.*?)</script>', page.read_text(encoding="utf-8"))
    assert [json.loads(info)["file"] for info in infos] == names
    assert call(command, *options, "--count", "2", folder / "r0.wav", folder / "r4.wav", folder / "r3.wav") == 0
    assert len(out.read_text().splitlines()) == 3
    capsys.readouterr()
    assert call(command, *options, folder / "r0.wav") == 2
    err = capsys.readouterr().err
    assert "done.tsv: none of its 1 recordings is among those given" in err
    assert "1 of 1 recordings" not in err  # said before any recording is processed
    page.unlink()
    assert call(command, *options, folder / "r4.wav") == 0
    err = capsys.readouterr().err
    assert "none chosen: all recordings are labelled" in err and "page.html: not written" in err and not page.exists()


def test_the_labels_are_not_replaced_by_the_list_or_the_page(experiment, tmp_path, capsys):
    write_sounds(tmp_path / "a.wav", 3)
    labels = tmp_path / "done.tsv"
    labels.write_text("filename\tonset\toffset\tevent_label\nr4.wav\t\t\t\n")
    for option in ("--out", "--html"):
        options = ("--model", experiment, "--labelled", labels, option, tmp_path / "." / "done.tsv")
        assert call(command, *options, tmp_path / "a.wav") == 2
        assert "done.tsv: an input, which would be overwritten" in capsys.readouterr().err
        assert labels.read_text().startswith("filename\tonset")


def test_a_missing_table_of_labels_is_refused_before_the_recordings_are_read(experiment, tmp_path, capsys):
    write_sounds(tmp_path / "a.wav", 3)
    assert call(command, "--model", experiment, "--labelled", tmp_path / "done.tsv", tmp_path / "a.wav") == 2
    err = capsys.readouterr().err
    assert "done.tsv: no such file" in err and len(err.splitlines()) == 1, "it was missed after all of them"


def test_the_page_is_refused_where_it_would_replace_the_list_or_lack_a_pipe(experiment, tmp_path, capsys):
    write_sounds(tmp_path / "a.wav", 3)
    out = tmp_path / "x"
    same = ("--model", experiment, "--out", out, "--html", tmp_path / "." / "x")
    assert call(command, *same, tmp_path / "a.wav") == 2
    assert "x: two outputs would be written to this file" in capsys.readouterr().err and not out.exists()
    os.mkfifo(tmp_path / "pipe.wav")
    assert call(command, "--model", experiment, "--html", out, tmp_path / "a.wav", tmp_path / "pipe.wav") == 2
    assert "pipe.wav: a pipe, and --html reads chosen recordings again" in capsys.readouterr().err


def test_a_chosen_recording_that_the_page_lacks_is_a_failure(experiment, tmp_path, monkeypatch, capsys):
    """Such as one that was removed while the others were measured."""
    write_sounds(tmp_path / "a.wav", 3)
    write_sounds(tmp_path / "b.wav", 4)
    write_text = files.write_text

    def written_after_a_removal(*args):
        (tmp_path / "b.wav").unlink()
        write_text(*args)

    monkeypatch.setattr(files, "write_text", written_after_a_removal)
    options = ("--model", experiment, "--out", tmp_path / "list.tsv", "--html", tmp_path / "page.html")
    assert call(command, *options, tmp_path / "a.wav", tmp_path / "b.wav") == 1
    assert "b.wav: no such file" in capsys.readouterr().err
    assert (tmp_path / "page.html").read_text(encoding="utf-8").count('id="info-') == 1
