"""Build of a trainer from a config: sets, schedule, initial weights, identity of checkpoints."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_training import LABELS, trainer_of, write_set

from sed.data.batches import load_set
from sed.data.directory import DataDir
from sed.data.soft_events import SoftEvent, write_soft_tsv
from sed.data.tables import write_events_tsv
from sed.errors import UserError
from sed.features.logmel import FrontEnd
from sed.models.ast import AST
from sed.models.detector import build_detector
from sed.training.build import (
    check_front_end,
    check_teacher,
    feature_bytes,
    load_training_sets,
    loss_weights,
    make_schedule,
    make_validation,
    run_options,
    warn_of_a_slow_teacher,
    warn_of_drift,
)
from sed.training.run_options import RUNTIME
from sed.training.schedule import Schedule

Config = Callable[..., dict[str, Any]]


def test_missing_sets_are_refused_with_the_options_that_train_without_them(dump: Path, tiny_config: Config) -> None:
    config = tiny_config(train_sets=["weak", "nowhere", "strong_real", "unlabelled"], batch_sizes=[4, 2, 2, 0])
    with pytest.raises(UserError) as error:
        load_training_sets(config, dump, LABELS, build_detector(config, 3))
    assert f"{dump} has no nowhere, which train_sets names" in str(error.value)
    assert "--train-sets weak,strong_real --batch-sizes 4,2)" in str(error.value)


def test_missing_sets_are_left_out_and_named_where_that_is_asked(
    dump: Path, tiny_config: Config, log_lines: list[str]
) -> None:
    config = tiny_config(train_sets=["weak", "nowhere", "strong_real", "unlabelled"], batch_sizes=[4, 2, 2, 0])
    config["missing_sets"] = "leave_out"
    sets = load_training_sets(config, dump, LABELS, build_detector(config, 3))
    assert [(s.name, s.batch_size, s.supervision) for s in sets] == [("strong_real", 2, "strong"), ("weak", 4, "weak")]
    assert log_lines == [
        f"trains on weak, strong_real; {dump} has no nowhere, which may be missing (missing_sets: leave_out)"
    ]
    assert feature_bytes(sets) == (9 + 25) * sets[0].store.frames * 16 * 2  # clips, frames, bins, float16


def test_sets_named_twice_or_all_missing_or_without_clips_in_a_batch_are_refused(
    dump: Path, tiny_config: Config
) -> None:
    for sets, sizes, match in (
        (["weak", "weak"], [1, 1], "twice"),
        (["weak", "weak/"], [1, 1], "twice"),
        (["weak", "nowhere"], [0, 1], r"none of the sets nowhere \("),
        (["strong_real", "weak"], [0, 0], "--batch-sizes are all 0"),
    ):
        config = tiny_config(train_sets=sets, batch_sizes=sizes)
        with pytest.raises(UserError, match=match):
            load_training_sets(config, dump, LABELS, build_detector(config, 3))


def test_an_epoch_is_one_pass_over_the_set_that_needs_the_fewest_steps_by_default(
    dump: Path, tiny_config: Config
) -> None:
    config = tiny_config(steps_per_epoch=0, epochs=5, ema_decay=0.9)
    sets = load_training_sets(config, dump, LABELS, build_detector(config, 3))
    schedule = make_schedule(config, sets)
    assert schedule.steps_per_epoch == 9 // 2 and schedule.steps == 20 and schedule.ema_decay == 0.9
    assert make_schedule({**config, "steps_per_epoch": 7}, sets).steps == 35


def test_most_passes_limits_the_steps_on_small_sets(dump: Path, tiny_config: Config) -> None:
    config = tiny_config(steps_per_epoch=1000, epochs=5)
    sets = load_training_sets(config, dump, LABELS, build_detector(config, 3))
    labelled = [s for s in sets if s.supervision != "unlabelled"]
    for passes in (10, 50):
        steps = make_schedule({**config, "most_passes": passes}, sets).steps
        fewest = min(steps * s.batch_size / len(s) for s in labelled)
        assert passes - 1 < fewest <= passes and steps < 5000  # less than a step per epoch is dropped
    assert make_schedule({**config, "most_passes": 1}, sets).steps >= 5
    assert make_schedule({**config, "most_passes": 10**6}, sets).steps == 5000


def test_a_slow_teacher_is_the_fault_of_the_config_only_if_its_own_steps_are_few(log_lines: list[str]) -> None:
    short = Schedule(epochs=20, steps_per_epoch=18, ema_decay=0.99)
    warn_of_a_slow_teacher(short, planned=54)  # most_passes made it short: only more clips would help
    assert not log_lines
    warn_of_a_slow_teacher(short, planned=18)
    warn_of_a_slow_teacher(replace(short, ema_decay=0.999), planned=54)
    assert [line.split(":")[0] for line in log_lines] == [
        "360 steps are few for ema_decay 0.99",
        "360 steps are few for ema_decay 0.999",
    ]


@pytest.mark.parametrize("steps", [3, 360, 980, 1000, 15600, 123456])
def test_the_decay_that_the_warning_advises_is_not_slow(steps: int, log_lines: list[str]) -> None:
    schedule = Schedule(epochs=1, steps_per_epoch=steps, ema_decay=0.99999)
    warn_of_a_slow_teacher(schedule, planned=steps)
    advised = float(log_lines[0].split("up to ")[1].split()[0])
    assert advised == 0 or not replace(schedule, ema_decay=advised).teacher_is_slow


def test_a_training_that_most_passes_alone_makes_short_gets_no_warning_about_its_decay(
    dump: Path, tiny_config: Config, tmp_path: Path, log_lines: list[str]
) -> None:
    limited = {"steps_per_epoch": 0, "epochs": 20, "constant_epochs": 10, "ema_decay": 0.9, "most_passes": 2}
    trainer_of(tiny_config(**limited), dump, tmp_path / "limited")
    assert any("(most_passes)" in line for line in log_lines)
    assert not any("steps are few" in line for line in log_lines)


def test_a_frame_shift_between_samples_is_named_with_the_nearest_whole_one(log_lines: list[str]) -> None:
    for rate in (16000, 44100):
        warn_of_drift(FrontEnd(sample_rate=rate))
    assert not log_lines
    front_end = FrontEnd(sample_rate=22050)  # 10 ms are 220.5 samples, taken as 220: 0.5 / 220.5 of 10 s are 23 ms
    warn_of_drift(front_end)
    assert "times are wrong by 23 ms" in log_lines[0]
    whole = log_lines[0].removesuffix(")").split()[-1]
    assert FrontEnd(sample_rate=22050, frame_shift=float(whole)).framing.shift == front_end.framing.shift
    warn_of_drift(FrontEnd(sample_rate=22050, frame_shift=float(whole)))
    assert len(log_lines) == 1


def test_own_statistics_of_a_teacher_that_is_not_evaluated_are_refused(
    dump: Path, tiny_config: Config, tmp_path: Path
) -> None:
    crnn = {"encoder": "cnn", "cnn_width": 0.125, "pooling": "mean", "upsample": 1, "ema_buffers": "own"}
    with pytest.raises(UserError, match="ema_buffers own"):
        trainer_of(tiny_config(**crnn, consistency_weight=0.0), dump, tmp_path)
    step = trainer_of(tiny_config(**crnn, epochs=1), dump, tmp_path).training_step
    assert step.teacher.encoder.layers[1].momentum == 0.99, "the CNN's own"  # type: ignore[attr-defined]
    trainer_of(tiny_config(ema_buffers="own", consistency_weight=0.0), dump, tmp_path)  # an AST has no statistics


def test_constant_buffers_are_not_statistics_of_a_teacher(tiny_config: Config) -> None:
    """Such as BEATs' weights of averages over time."""
    config = tiny_config(ema_buffers="own", consistency_weight=0.0)
    student = build_detector(config, 3)
    student.encoder.register_buffer("averages", torch.zeros(2))
    check_teacher(config, student)


def test_layer_decay_in_training_and_freezing_of_all_layers(dump: Path, tiny_config: Config, tmp_path: Path) -> None:
    rates = {"encoder_lr": 1e-3, "lr": 2e-3, "constant_epochs": 9, "frozen_epochs": 0.5, "warmup_steps": 0}
    trainer = trainer_of(tiny_config(**rates, layer_decay=0.5, epochs=1), dump, tmp_path)
    step = trainer.training_step
    step.set_values(trainer.values(3))
    found = {group["name"].removesuffix("_plain"): float(group["lr"]) for group in step.optimiser.param_groups}
    assert found == pytest.approx({"encoder_000": 1e-3, "encoder_001": 5e-4, "encoder_002": 2.5e-4, "head": 2e-3})
    step.set_values(trainer.values(0))
    assert not any(p.requires_grad for p in step.student.encoder.parameters())
    with pytest.raises(UserError, match=r"layer_decay needs an encoder made of blocks.*change the config"):
        crnn = {"encoder": "cnn", "cnn_width": 0.125, "pooling": "mean", "upsample": 1}
        trainer_of(tiny_config(**crnn, layer_decay=0.5), dump, tmp_path)


def test_features_of_another_front_end_are_refused(tmp_path: Path, dump: Path, tiny_config: Config) -> None:
    front_end = FrontEnd.from_config(tiny_config())
    check_front_end([load_set(dump / "weak", LABELS, frames=50, frame_seconds=0.02)], front_end)
    write_set(tmp_path / "weak", clips=3, supervision="weak", seed=0, frame_length=0.03)
    other = load_set(tmp_path / "weak", LABELS, frames=50, frame_seconds=0.02)
    with pytest.raises(UserError, match=r"another front end: frame_length is 0\.03"):
        check_front_end([other], front_end)


def test_a_front_end_that_does_not_fit_the_encoder_is_refused(
    tmp_path: Path, dump: Path, tiny_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AST, "front_end", {"mel_norm": "area"}, raising=False)
    with pytest.raises(UserError, match="encoder 'ast' needs its own front end: mel_norm is peak, not area"):
        trainer_of(tiny_config(), dump, tmp_path / "exp")


def test_weights_of_the_parts() -> None:
    config = {"strong_weight": 1.0, "weak_weight": 0.5, "consistency_weight": 2.0}
    config |= {"frame_consistency_weight": 0.25, "clip_consistency_weight": 3.0, "strong_tag_weight": 0.7}
    config |= {"pseudo_weight": 1.5}
    assert loss_weights(config) == (1.0, 0.5, 2 * 0.25, 2 * 3.0, 0.7, 1.5)  # in the order of losses.PARTS


def test_the_validation_set_is_strong_or_none(dump: Path, tiny_config: Config) -> None:
    def made(name: str) -> Any:
        config = tiny_config(valid_set=name)
        return make_validation(config, dump, LABELS, build_detector(config, 3), FrontEnd.from_config(config))

    assert made("") is None and len(made("synth_valid")) == 7
    with pytest.raises(UserError, match=r"weak: no events\.tsv"):
        made("weak")


def test_event_scores_need_a_validation_set_with_events_not_soft_labels_only(
    dump: Path, tiny_config: Config, tmp_path: Path
) -> None:
    shutil.copytree(dump / "synth_valid", tmp_path / "valid")
    shutil.copy(dump / "labels.txt", tmp_path)
    events = DataDir.load(tmp_path / "valid", LABELS).events or {}
    soft = {clip: [SoftEvent(*event, 0.5) for event in own] for clip, own in events.items()}
    write_soft_tsv(tmp_path / "valid" / "soft.tsv", soft)
    (tmp_path / "valid" / "events.tsv").unlink()
    for select_by in ("frame_f1", "event_f1"):
        config = tiny_config(valid_set="valid", select_by=select_by)
        refused = pytest.raises(UserError, match=r"valid: no events\.tsv, against which event_f1 is scored")
        with nullcontext() if select_by == "frame_f1" else refused:
            make_validation(config, tmp_path, LABELS, build_detector(config, 3), FrontEnd.from_config(config))


def test_no_model_is_selected_on_a_set_without_events(dump: Path, tiny_config: Config, tmp_path: Path) -> None:
    """Its frame F1 is 0 after every epoch, so that the first epoch's model would be taken for the best."""
    shutil.copytree(dump / "synth_valid", tmp_path / "valid")
    shutil.copy(dump / "labels.txt", tmp_path)
    write_events_tsv(tmp_path / "valid" / "events.tsv", {"a": []}, ".wav")
    for select in ("last", "best"):
        config = tiny_config(valid_set="valid", select=select)
        refused = pytest.raises(UserError, match=r"valid: no events, by whose frame F1 --select best would choose")
        with nullcontext() if select == "last" else refused:
            make_validation(config, tmp_path, LABELS, build_detector(config, 3), FrontEnd.from_config(config))


def test_runtime_options_depend_on_device_and_cache(dump: Path, tiny_config: Config, tmp_path: Path) -> None:
    for cache, ahead in (("ram", 0), ("none", 3)):
        trainer = trainer_of(tiny_config(cache=cache, ahead=3, checkpoint_seconds=9.0), dump, tmp_path / cache)
        assert (trainer.options.check_every, trainer.options.ahead) == (1, ahead)
        assert trainer.options.checkpoint_seconds == 9.0
        options = run_options(tiny_config(ahead=3), trainer.maker, torch.device("cuda"))
        assert (options.check_every, options.ahead) == (50, 3)


def test_checkpoints_store_no_runtime_options(dump: Path, tiny_config: Config, tmp_path: Path) -> None:
    config = tiny_config(accumulate=2)
    trainer = trainer_of(config, dump, tmp_path)
    identity = trainer.identity
    assert identity["labels"] == LABELS and identity["front_end"] == FrontEnd.from_config(config).params()
    assert set(identity["config"]) == set(config) - set(RUNTIME)
    assert list(identity["config"]) == sorted(identity["config"])
    assert list(trainer.shares) == [0, 1] and trainer.maker.shares == 2


def test_initial_weights_depend_on_the_seed_only(dump: Path, tiny_config: Config, tmp_path: Path) -> None:
    torch.manual_seed(99)
    one, two, three = (trainer_of(tiny_config(seed=seed), dump, tmp_path) for seed in (5, 5, 6))
    states = [t.training_step.student.state_dict() for t in (one, two, three)]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert not all(torch.equal(value, states[2][name]) for name, value in states[0].items())


def test_frozen_batch_norms_need_weights_to_start_from(dump: Path, tiny_config: Config, tmp_path: Path) -> None:
    config = tiny_config(freeze_batchnorm=True, pretrained="none")
    with pytest.raises(UserError, match=r"freeze_batchnorm: random initial weights .*--no-freeze-batchnorm"):
        trainer_of(config, dump, tmp_path / "exp")


def test_a_published_head_s_merged_classes_are_not_trained(dump: Path, tiny_config: Config, tmp_path: Path) -> None:
    config = tiny_config(class_merge="max", source_classes=5)
    with pytest.raises(UserError, match=r"class_merge max: only for published heads, which are imported"):
        trainer_of(config, dump, tmp_path / "exp")
