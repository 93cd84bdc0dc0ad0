"""Validation's frame F1 and loss against sklearn's and torch's on the same detections."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from torch import nn

from sed.data.batches import TrainingSet, load_set
from sed.features.logmel import FrontEnd
from sed.models.detector import Detector, DetectorOutput, build_detector
from sed.training.validation import validate

LABELS = ["Cat", "Dog", "Speech"]
CPU = torch.device("cpu")


@pytest.fixture
def model(tiny_config: Callable[..., dict[str, Any]]) -> Detector:
    torch.manual_seed(3)
    return build_detector(tiny_config(), 3)


@pytest.fixture
def data(dump: Path, model: Detector) -> TrainingSet:
    return load_set(dump / "synth_valid", LABELS, frames=model.num_frames, frame_seconds=model.frame_seconds)


def scores(model: Detector, data: TrainingSet, config: dict[str, Any], **changes: Any) -> dict[str, float]:
    options = {"front_end": FrontEnd.from_config(config), "batch_size": 3, "device": CPU, "precision": "fp32"}
    return validate(model, data, **{**options, **changes})


def outputs_of(model: Detector, data: TrainingSet, config: dict[str, Any]) -> DetectorOutput:
    features = torch.from_numpy(data.store.read(np.arange(len(data))))
    valid = torch.from_numpy(np.asarray(data.store.valid, np.int64))
    with torch.no_grad():
        return model(FrontEnd.from_config(config).normalise(features, valid, model.input_frames, "raw"))


def logits_of(model: Detector, data: TrainingSet, config: dict[str, Any]) -> torch.Tensor:
    return outputs_of(model, data, config).logits


def clips_of(model: Detector, data: TrainingSet, config: dict[str, Any]) -> np.ndarray:
    return outputs_of(model, data, config).clip.numpy()


def test_scores_are_sklearn_s_and_torch_s(
    model: Detector, data: TrainingSet, tiny_config: Callable[..., dict[str, Any]]
) -> None:
    model.eval()
    logits = logits_of(model, data, tiny_config())
    assert data.targets is not None
    with torch.no_grad():  # so that about half of the frames are detections, of each class
        model.classifier.bias -= logits.flatten(0, 1).median(0).values
    logits = logits_of(model, data, tiny_config())
    found, wanted = (logits > 0).flatten(0, 1).numpy(), data.targets[np.arange(len(data))].reshape(-1, 3)
    assert 0.2 < found.mean() < 0.8
    expected = nn.functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(wanted).float().view_as(logits))
    for size in (3, 100):
        ours = scores(model, data, tiny_config(), batch_size=size)
        assert ours["score"] == pytest.approx(f1_score(wanted, found, average="macro"), abs=1e-6)
        assert ours["frame_loss"] == pytest.approx(expected.item(), rel=1e-4)


def test_classes_without_targets_and_detections_are_left_out(
    model: Detector, data: TrainingSet, tiny_config: Callable[..., dict[str, Any]]
) -> None:
    assert data.targets is not None
    model.eval()
    found = (logits_of(model, data, tiny_config()) > 0).numpy()
    targets = found.astype(np.uint8)
    targets[:, :, 1] = 0
    data = dataclasses.replace(data, targets=targets)
    ours = scores(model, data, tiny_config())["score"]
    there = [k for k in range(3) if found[:, :, k].any() or targets[:, :, k].any()]
    assert len(there) < 3 and 1 in there
    assert ours == pytest.approx(1 - 1 / len(there))  # F1 is 0 for class 1, whose detections are all wrong, else 1


def test_the_mode_of_the_model_is_restored(
    model: Detector, data: TrainingSet, tiny_config: Callable[..., dict[str, Any]]
) -> None:
    model = build_detector(tiny_config(head_dropout=0.5), 3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for mode in (True, False):
        model.train(mode)
        first, second = (scores(model, data, tiny_config()) for _ in range(2))
        assert first == second, "without dropout"
        assert model.training is mode
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_another_score_takes_the_posteriors_of_every_clip_in_order(
    model: Detector, data: TrainingSet, tiny_config: Callable[..., dict[str, Any]]
) -> None:
    model.eval()
    logits = logits_of(model, data, tiny_config())
    seen: list[tuple[np.ndarray, np.ndarray]] = []

    def scorer(frame: np.ndarray, clip: np.ndarray) -> float:
        seen.append((frame, clip))
        return 0.125

    plain, ours = scores(model, data, tiny_config()), scores(model, data, tiny_config(), scorer=scorer)
    assert ours == {**plain, "score": 0.125} and plain["score"] == plain["frame_f1"]
    [(frame, clip)] = seen
    assert np.allclose(frame, 1 / (1 + np.exp(-logits.numpy())), atol=1e-6)
    assert np.allclose(clip, clips_of(model, data, tiny_config()), atol=1e-6)


def test_unknown_frames_count_as_inactive(
    model: Detector, data: TrainingSet, tiny_config: Callable[..., dict[str, Any]]
) -> None:
    assert data.targets is not None
    targets = data.targets[np.arange(len(data))].copy()
    targets[:, 10:20, 1] = 2  # unknown
    unknown = scores(model, dataclasses.replace(data, targets=targets.copy()), tiny_config())
    targets[:, 10:20, 1] = 0
    assert unknown == scores(model, dataclasses.replace(data, targets=targets), tiny_config())


def test_a_set_without_targets_and_detections_scores_0(
    model: Detector, data: TrainingSet, tiny_config: Callable[..., dict[str, Any]]
) -> None:
    assert data.targets is not None
    with torch.no_grad():
        model.classifier.bias -= 50
    data = dataclasses.replace(data, targets=0 * data.targets[np.arange(len(data))])
    assert scores(model, data, tiny_config())["frame_f1"] == 0
