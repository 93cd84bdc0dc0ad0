"""Build of a pre-training from a config: label frames, schedules, refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sed.errors import UserError
from sed.training.pretraining.build import WITHOUT_EFFECT, label_frames, make_schedule
from sed.training.pretraining.pretraining import Pretraining

Build = Callable[..., Pretraining]


def test_classes_are_the_set_s_labels_or_the_bank_s_kinds(pretraining: Build, tmp_path: Path) -> None:
    assert pretraining("weak", tmp_path / "a.pth").labels == ["Cat", "Dog", "Speech"]
    assert pretraining("bank", tmp_path / "b.pth", procedural=0).labels == ["Cat", "Dog", "Speech"]
    assert len(pretraining("bank", tmp_path / "c.pth", procedural=40).labels) > 3


def test_label_frames_divide_the_time_steps_of_patches(pretraining_config: dict[str, Any]) -> None:
    config = {**pretraining_config, "stride_time": 10, "frame_shift": 0.01, "clip_seconds": 1.0}
    assert label_frames(config) == (10, pytest.approx(0.1))
    assert label_frames({**config, "frame_detail": 5}) == (50, pytest.approx(0.02))
    assert label_frames({**config, "clip_seconds": 0.91})[0] == 10  # the last frame is partly within the clip
    assert label_frames({**config, "clip_seconds": 9.0})[0] == 10  # the grid has no more


def test_label_frames_divide_the_time_steps_of_any_encoder(pretraining_config: dict[str, Any]) -> None:
    config = {**pretraining_config, "encoder": "cnn", "cnn_width": 0.125, "frame_shift": 0.01, "clip_seconds": 1.0}
    frames = config["input_frames"] // 4
    assert label_frames(config) == (min(25, frames), pytest.approx(0.04))
    assert label_frames({**config, "frame_detail": 2}) == (2 * min(25, frames), pytest.approx(0.02))


def test_an_epoch_is_one_pass_over_the_set_by_default(pretraining_config: dict[str, Any]) -> None:
    config = {**pretraining_config, "batch_size": 4, "epochs": 3}
    assert make_schedule({**config, "steps_per_epoch": 0}, 25).steps == 18
    assert make_schedule({**config, "steps_per_epoch": 7}, 25).steps == 21


def test_options_that_do_not_fit_are_refused_before_anything_is_written(pretraining: Build, tmp_path: Path) -> None:
    def refused(match: str, name: str = "weak", **changes: Any) -> None:
        with pytest.raises(UserError, match=match):
            pretraining(name, tmp_path / "x.pth", **changes)
        assert not list(tmp_path.iterdir())

    refused("needs labels", "unlabelled")
    refused("weak: has tags only, of which tag_weight 0 learns nothing", tag_weight=0.0)
    refused("the patch grid has 2 bands .keep at least one", patchout=2)
    refused("pre-training computes no statistics", normaliser="bins")
    cnn = {"encoder": "cnn", "cnn_width": 0.125}
    refused("patchout 1: only for encoder 'ast', not 'cnn'", patchout=1, **cnn)
    refused("drop_path 0.1: only for encoder 'ast', not 'cnn'", drop_path=0.1, **cnn)
    refused("number of soundscapes is unlimited", "bank", steps_per_epoch=0, procedural=0)
    refused("mel_bins is 16, not 32", mel_bins=32)
    refused("--loggers nonesuch: unknown", loggers=["nonesuch"])
    for name in WITHOUT_EFFECT:
        refused(f"{name} 0.5: without effect", **{name: 0.5})


def test_augmentation_and_stochastic_depth_are_those_of_the_config(pretraining: Build, tmp_path: Path) -> None:
    changes = {"mixup_labels": "hard", "warp_probability": 0.5, "wavmix_probability": 0.5, "drop_path": 0.25}
    run, plain = (pretraining("weak", tmp_path / "a.pth", **one) for one in (changes, {}))
    found = [
        (p.mixup_labels, p.warped, p.wavmixed, p.apart, p.interpolated) for p in (run.preparation, plain.preparation)
    ]
    assert found == [("hard", True, True, False, False), ("soft", False, False, False, False)]
    for one, rate in ((run, 0.25), (plain, 0.0)):
        blocks = one.model.get_submodule("tagger.encoder.blocks").children()
        assert {block.drop_path for block in blocks} == {rate}
