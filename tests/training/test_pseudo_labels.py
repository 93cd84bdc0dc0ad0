"""Pseudo-label cross-entropy against one written out; which clips have labels; iteration and refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_training import LABELS, rows_of, trainer_of

from sed.data.batches import TrainingSet, arrange, load_set
from sed.data.scores import Scores, write_scores
from sed.data.tables import read_tags_tsv
from sed.errors import UserError
from sed.training.losses import PARTS
from sed.training.pseudo_labels import PseudoLabels

Config = Callable[..., dict[str, Any]]
PLAIN = {"shift_seconds": 0.0, "mixup_probability": 0.0, "mask_max_seconds": 0.0, "filter_augment": "none"}


@pytest.fixture(scope="module")
def sets(dump: Path) -> list[TrainingSet]:
    sizes = {"strong_real": 2, "strong_synth": 2, "weak": 4, "unlabelled": 4}
    return arrange([load_set(dump / n, LABELS, frames=50, frame_seconds=0.02, batch_size=b) for n, b in sizes.items()])


@pytest.fixture(scope="module")
def ensemble(sets: list[TrainingSet], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Posteriors of weak and unlabelled clips in frames of 40 ms, in another order than the sets'."""
    folder = tmp_path_factory.mktemp("exp") / "x_it1"
    for one in sets[2:]:
        rng = np.random.default_rng(len(one))
        (folder / one.name).mkdir(parents=True)
        frame = rng.random((len(one), 25, 3), dtype=np.float32)
        scores = Scores(
            clips=list(one.store.clips)[::-1],
            labels=LABELS,
            frame=frame,
            clip=frame.max(1),
            frame_seconds=0.04,
            attrs={"ensemble": ["exp/a", "exp/b"]},
        )
        write_scores(folder / one.name / "scores.h5", scores)
    return folder


def of(sets: list[TrainingSet], folder: Path, threshold: float = 0.0) -> PseudoLabels:
    return PseudoLabels(sets, folder, labels=LABELS, frames=50, frame_seconds=0.02, threshold=threshold)


def test_targets_are_the_ensemble_s_posteriors_and_unknown_elsewhere(
    sets: list[TrainingSet], ensemble: Path, dump: Path
) -> None:
    from sed.data.scores import read_scores

    pseudo = of(sets, ensemble)
    weak, unlabelled = 9 + 14, 9 + 14 + 25  # first rows of these sets
    found = pseudo[np.array([0, weak + 3, unlabelled + 5, 10])]
    assert np.isnan(found[[0, 3]]).all(), "strong clips have no scores here"
    scores = read_scores(ensemble / "unlabelled" / "scores.h5")
    clip = sets[3].store.clips[5]
    expected = scores.frame[scores.clips.index(clip)].repeat(2, axis=0)  # 40 ms to 20 ms
    np.testing.assert_allclose(found[2], expected, atol=1e-3)
    tags = read_tags_tsv(dump / "weak" / "tags.tsv")[sets[2].store.clips[3]]
    for k, label in enumerate(LABELS):
        assert found[1][:, k].any() == (label in tags), "a tag that is absent rules its class out"
    hard = of(sets, ensemble, 0.5)[np.array([unlabelled + 5])][0]
    assert np.array_equal(hard, expected >= 0.5)
    assert pseudo.origins["weak"] == {"models": ["exp/a", "exp/b"], "threshold": 0.0}


def test_the_loss_is_the_mean_cross_entropy_of_the_clips_that_have_labels(
    dump: Path, ensemble: Path, tiny_config: Config, tmp_path: Path
) -> None:
    config = tiny_config(**PLAIN, pseudo_labels=str(ensemble), pseudo_weight=1.5, consistency_weight=0.0)
    trainer = trainer_of(config, dump, tmp_path)
    inputs, step = trainer.maker.make(0), trainer.training_step
    logits = step.student(step.preparation(inputs).student).logits.detach()
    logged = dict(zip(("loss", *PARTS), step([inputs], trainer.values(0)).tolist(), strict=False))
    y = inputs.pseudo_targets.float()
    assert y[:4].isnan().all() and not y[4:].isnan().any()
    p = logits[4:].double().sigmoid()
    expected = -(y[4:] * p.log() + (1 - y[4:]) * (1 - p).log()).mean().item()
    assert logged["pseudo"] == pytest.approx(expected, rel=1e-5)
    assert logged["loss"] == pytest.approx(logged["strong"] + 0.5 * logged["weak"] + 1.5 * expected, rel=1e-5)


@pytest.mark.thorough
@pytest.mark.parametrize("ict", [False, True])
def test_pseudo_labels_are_shifted_mixed_and_masked_like_labels(
    dump: Path, sets: list[TrainingSet], tiny_config: Config, tmp_path: Path, ict: bool
) -> None:
    """If the pseudo-labels of strong clips are their true labels, both targets stay equal."""
    for one in sets[:2]:
        assert one.targets is not None
        frame = one.targets[np.arange(len(one))].astype(np.float32)
        (tmp_path / one.name).mkdir()
        clips, attrs = list(one.store.clips), {"model": "truth"}
        scores = Scores(clips=clips, labels=LABELS, frame=frame, clip=frame.max(1), frame_seconds=0.02, attrs=attrs)
        write_scores(tmp_path / one.name / "scores.h5", scores)
    config = tiny_config(
        pseudo_labels=str(tmp_path), pseudo_weight=1.0, wavmix_probability=0.3, interpolation_consistency=ict
    )
    trainer = trainer_of(config, dump, tmp_path / "exp")
    for number in range(3):
        prepared = trainer.training_step.preparation(trainer.maker.make(number))
        torch.testing.assert_close(prepared.pseudo_targets[:4], prepared.strong_targets)
        assert prepared.pseudo_targets[4:].isnan().all()


@pytest.mark.thorough
def test_info_of_a_training_on_pseudo_labels_names_the_ensemble(
    dump: Path, ensemble: Path, config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    from sed.bin import train

    options = ["--pseudo-labels", ensemble, "--pseudo-weight", "1.5", "--loggers", "none"]
    monkeypatch.setattr(sys, "argv", ["train", *map(str, ["--config", config_file, *options, dump, tmp_path / "exp"])])
    with pytest.raises(SystemExit) as stopped:
        train.main()
    assert stopped.value.code == 0
    info = json.loads((tmp_path / "exp" / "info.json").read_text())
    assert info["pseudo_labels"]["unlabelled"]["models"] == ["exp/a", "exp/b"]


@pytest.mark.thorough
def test_the_loss_falls(dump: Path, ensemble: Path, tiny_config: Config, tmp_path: Path) -> None:
    config = tiny_config(pseudo_labels=str(ensemble), pseudo_weight=1.5, interpolation_consistency=True)
    rows = torch.tensor(rows_of(config, dump, tmp_path))
    assert rows.isfinite().all() and rows[-3:, 0].mean() < rows[:3, 0].mean()


def test_refusals_say_what_to_do(
    dump: Path, ensemble: Path, sets: list[TrainingSet], tiny_config: Config, tmp_path: Path
) -> None:
    for changes, message in (
        ({"pseudo_weight": 1.0}, "give both, or neither"),
        ({"pseudo_labels": str(ensemble)}, "give both, or neither"),
        ({"pseudo_labels": str(tmp_path), "pseudo_weight": 1.0}, "no <set>/scores.h5 of any training set"),
    ):
        with pytest.raises(UserError, match=message):
            trainer_of(tiny_config(**changes), dump, tmp_path / "x")
    frame = np.zeros((1, 25, 3), np.float32)
    for labels, clips, message in (
        (["Cat", "Dog", "Bell"], list(sets[2].store.clips)[:1], "not those of the dump"),
        (LABELS, list(sets[2].store.clips)[:1], "no scores of 24 clips, such as weak_001"),
    ):
        (tmp_path / "weak").mkdir(exist_ok=True)
        scores = Scores(clips=clips, labels=labels, frame=frame, clip=frame[:, 0], frame_seconds=0.04)
        write_scores(tmp_path / "weak" / "scores.h5", scores)
        with pytest.raises(UserError, match=message):
            of(sets, tmp_path)
    clips = list(sets[2].store.clips)
    frame = np.zeros((len(clips), 12, 3), np.float32)
    scores = Scores(clips=clips, labels=LABELS, frame=frame, clip=frame[:, 0], frame_seconds=0.04)
    write_scores(tmp_path / "weak" / "scores.h5", scores)
    with pytest.raises(UserError, match=r"scores of 0\.48 s, but clips are of 1 s \(infer on whole clips\)"):
        of(sets, tmp_path)
