"""Scores of a tagger: average precision against its definition, and refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_training import write_set

from sed.checkpoints.pretrained import load_tagger
from sed.data.directory import DataDir
from sed.data.store import FeatureStore
from sed.errors import UserError
from sed.features.logmel import FrontEnd
from sed.training.pretraining.pretraining import Pretraining
from sed.training.pretraining.tagging import average_precisions

LABELS = ["Cat", "Dog", "Speech"]
CPU = torch.device("cpu")


@pytest.fixture
def tagger(
    pretraining: Callable[..., Pretraining], pretraining_config: dict[str, Any], tmp_path: Path
) -> dict[str, Any]:
    """Config of a tagger that was pre-trained for a few steps."""
    pretraining("weak", tmp_path / "ast.pth").run()
    return {**pretraining_config, "pretrained": str(tmp_path / "ast.pth")}


def definition(scores: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean, over positive clips, of the precision among the clips that score at least as high."""
    return float(np.mean([truth[scores >= scores[i]].mean() for i in np.flatnonzero(truth)]))


@pytest.mark.parametrize(("name", "batch_size"), [("weak", 4), ("strong_synth", 100)])
def test_scores_are_the_definition_s(dump: Path, tagger: dict[str, Any], name: str, batch_size: int) -> None:
    found, clips = average_precisions(tagger, dump / name, batch_size=batch_size, device=CPU)
    store, data = FeatureStore(dump / name), DataDir.load(dump / name, LABELS)
    model, names = load_tagger(tagger)
    valid = torch.from_numpy(np.asarray(store.valid, np.int64))
    features = torch.from_numpy(store.read(range(len(store.clips))))
    x = FrontEnd.from_config(tagger).normalise(features, valid, tagger["input_frames"], "raw")
    with torch.no_grad():
        scores = model.eval()(x)[:, [names.index(label) for label in LABELS]].numpy()
    for k, label in enumerate(LABELS):
        if data.tags is not None:
            truth = np.array([label in data.tags[clip] for clip in store.clips])
        else:
            assert data.events is not None
            truth = np.array([any(e.label == label for e in data.events[clip]) for clip in store.clips])
        assert found[label] == pytest.approx(definition(scores[:, k], truth), abs=1e-6)
    assert clips == len(store.clips)


def test_a_tag_without_events_is_a_label_of_its_clip(tagger: dict[str, Any], tmp_path: Path) -> None:
    """`load_set` counts it, too: the label occurs at an unknown time."""
    (tmp_path / "labels.txt").write_text("Cat\nDog\nSpeech\n")
    write_set(tmp_path / "both", clips=6, supervision="weak", seed=0)
    wanted = average_precisions(tagger, tmp_path / "both", batch_size=4, device=CPU)
    tags = DataDir.load(tmp_path / "both", LABELS).tags
    assert tags is not None and any(tags.values())
    rows = [f"{clip}.wav\t0\t1\t{labels[0]}\n" for clip, labels in list(tags.items())[:3] if labels]
    (tmp_path / "both" / "events.tsv").write_text("filename\tonset\toffset\tevent_label\n" + "".join(rows))
    assert average_precisions(tagger, tmp_path / "both", batch_size=4, device=CPU) == wanted


def test_sets_without_labels_or_of_other_features_clips_or_classes_are_refused(
    dump: Path, tagger: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"neither events\.tsv nor tags\.tsv"):
        average_precisions(tagger, dump / "unlabelled", batch_size=4, device=CPU)
    (tmp_path / "labels.txt").write_text("Cat\nDog\nSpeech\n")
    write_set(tmp_path / "weak", clips=3, supervision="weak", seed=0, frame_length=0.03)
    with pytest.raises(UserError, match="another front end"):
        average_precisions(tagger, tmp_path / "weak", batch_size=4, device=CPU)
    write_set(tmp_path / "more", clips=3, supervision="weak", seed=0)
    for name in ("wav.scp", "tags.tsv", "durations.tsv"):  # without the last clip
        lines = (tmp_path / "more" / name).read_text().splitlines(keepends=True)
        (tmp_path / "more" / name).write_text("".join(lines[:-1]))
    with pytest.raises(UserError, match=r"wav\.scp has 2 clips and feats\.scp 3, e\.g\. 'more_002'"):
        average_precisions(tagger, tmp_path / "more", batch_size=4, device=CPU)
    (tmp_path / "ast.labels.txt").write_text("Cat\nDog\nFrog\n")
    with pytest.raises(UserError, match="no class 'Speech'"):
        average_precisions(tagger, dump / "weak", batch_size=4, device=CPU)
