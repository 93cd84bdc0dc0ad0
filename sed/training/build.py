"""Build a trainer from a flat config and a dump: data, models, optimiser, step.

Letters such as (P) name sources: see egs/desed/README.md.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from sed.checkpoints.pretrained import load_pretrained
from sed.data.batches import FeaturePool, TrainingSet, arrange, choose_cache, load_set, most_steps, steps_per_epoch
from sed.data.directory import read_labels
from sed.data.labels import UNKNOWN
from sed.data.statistics import fitted
from sed.device import describe
from sed.errors import UserError
from sed.features.logmel import FrontEnd
from sed.models import encoders
from sed.models.detector import Detector, build_detector
from sed.training.augment import AugmentOptions
from sed.training.distributed import World
from sed.training.gpu import graphs
from sed.training.inputs import InputMaker, Maker
from sed.training.logger import logger_opener
from sed.training.loop import RunOptions
from sed.training.losses import build_objective
from sed.training.mean_teacher import MovingAverage, make_teacher
from sed.training.parameters import FlatParameters, build_optimiser, parameter_groups
from sed.training.pictures import picture_clips, spread
from sed.training.pseudo_labels import PseudoLabels
from sed.training.run_options import RUNTIME
from sed.training.schedule import Schedule
from sed.training.step import Preparation, TrainingStep, choose_precision
from sed.training.trainer import Trainer
from sed.training.validation import Scorer, validate

log = logging.getLogger("sed.train")

RANDOM = "random"
"""description of initial weights that were not loaded from a checkpoint"""
TEST_SETS = ("validation", "public_eval")
"""test sets of the corpora, on which no model may be selected; systems are compared on DESED's `validation`"""

SECTION = "data"
OPTIONS = {
    "train_sets": {
        "default": ["strong_real", "strong_synth", "weak", "unlabelled"],
        "help": "names of the training sets, folders of the dump; see missing_sets",
        "type": "words",
    },
    "missing_sets": {
        "default": "refuse",
        "help": "if the dump lacks some of train_sets: refuse to train, or leave_out: use the others (for own data)",
        "choices": ["refuse", "leave_out"],
    },
    "batch_sizes": {
        "default": [2, 2, 4, 4],
        "help": "clips per batch of each of train_sets, in their order (P: 1:1:2:2); a single number is for every set",
        "type": "numbers",
    },
    "epoch_clips": {
        "default": "named",
        "help": "clips that define the length of an epoch: those named in the metadata, or only those found on disk",
        "choices": ["named", "found"],
    },
    "accumulate": {
        "default": 1,
        "help": "gradient accumulation: number of shares that a batch is computed in; less memory, the same step "
        "(but batch norms, and losses that leave out unknown targets, see a share)",
        "least": 1,
    },
    "valid_set": {
        "default": "",
        "help": "strong set of the dump to validate on after each epoch, such as synth_valid; '': none",
    },
    "select": {
        "default": "last",
        "help": "model for final.pt: that of the last step, or of the best epoch on --valid-set",
        "choices": ["last", "best"],
    },
    "select_by": {
        "default": "frame_f1",
        "help": "score to select by: mean frame F1 of the classes at threshold 0.5, EB-F1, threshold-free PSDS1, or "
        "that with alpha_st 0",
        "choices": ["frame_f1", "event_f1", "psds1", "psds1_class_mean"],
    },
    "select_post_processing": {
        "default": "paper",
        "help": "post-processing before EB-F1 or PSDS1: paper (weak masking, median filters: F), none, or step names",
    },
}
OPTIONS_FROM = [
    "sed.training.losses",
    "sed.training.augment",
    "sed.training.schedule",
    "sed.training.mean_teacher",
    "sed.training.parameters",
    "sed.training.run_options",
]


def load_training_sets(config: Mapping[str, Any], dump: Path, labels: list[str], model: Detector) -> list[TrainingSet]:
    """Load the training sets that the config names and the dump has.

    Args:
        config: options of this module; `batch_sizes` has one for each set (`sed.bin.train` repeats a single one).
        dump: folder of the dumped sets.
        labels: class names.
        model: defines the number and length of label frames.

    Returns:
        The sets, checked, in the order strong, weak, unlabelled; without those of batch size 0.

    Raises:
        UserError: names and batch sizes do not match, the dump has none of the sets or lacks one that may not be
            missing (`missing_sets`), or a set is invalid.
    """
    names, sizes = config["train_sets"], config["batch_sizes"]
    if len(names) != len(sizes):
        raise UserError(f"{len(names)} --train-sets and {len(sizes)} --batch-sizes (give one size per set)")
    if len({Path(name) for name in names}) != len(names):  # as paths: a/ is a
        raise UserError("--train-sets names a set twice (keep one)")
    if not any(sizes):
        raise UserError("--batch-sizes are all 0: there is nothing to train on (give a set some clips)")
    sets, missing = [], []
    for name, size in zip(names, sizes, strict=True):
        if size == 0:
            continue
        if not (dump / name).is_dir():
            missing.append(name)
            continue
        sets.append(
            load_set(dump / name, labels, frames=model.num_frames, frame_seconds=model.frame_seconds, batch_size=size)
        )
    if not sets:
        raise UserError(f"{dump}: none of the sets {', '.join(missing)} (run stage 2, or name others by --train-sets)")
    if missing and config["missing_sets"] == "refuse":
        raise UserError(
            f"{dump} has no {', '.join(missing)}, which train_sets names (make it by stages 0 to 2, or train without: "
            f"--train-sets {','.join(s.name for s in sets)} --batch-sizes {','.join(str(s.batch_size) for s in sets)})"
        )
    if missing:
        log.info(
            "trains on %s; %s has no %s, which may be missing (missing_sets: leave_out)",
            *(", ".join(s.name for s in sets), dump, ", ".join(missing)),
        )
    return arrange(sets)


def check_front_end(sets: list[TrainingSet], front_end: FrontEnd) -> None:
    """Raise UserError if the features were computed by a different front end; `arrange` compares the sets' own."""
    other = front_end.difference(sets[0].store.front_end)
    if other:
        raise UserError(
            f"{sets[0].store.path}: features of another front end: {other} as in the config (dump with this config, "
            "or correct the config)"
        )


def make_front_end(config: Mapping[str, Any], sets: list[TrainingSet], encoder: encoders.Encoder) -> FrontEnd:
    """Build the front end of a config, with statistics of the training sets if its normaliser needs them.

    Args:
        config: options of the front end.
        sets: the training sets.
        encoder: the encoder to feed.

    Returns:
        The front end, on the CPU.

    Raises:
        UserError: the config is invalid, or differs from the front end of the features or of the encoder.
    """
    encoders.check_front_end(encoder, config)
    front_end = FrontEnd.from_config(config)
    check_front_end(sets, front_end)
    return fitted(front_end, [s.store for s in sets])


def planned_steps(config: Mapping[str, Any], sets: list[TrainingSet]) -> int:
    """Return the steps per epoch before `most_passes`: the config's or, if 0, a pass over the set that needs fewest."""
    return config["steps_per_epoch"] or steps_per_epoch(sets, clips=config["epoch_clips"])


def make_schedule(config: Mapping[str, Any], sets: list[TrainingSet]) -> Schedule:
    """Build the schedule of a training, of `planned_steps` per epoch or fewer by `most_passes`."""
    per_epoch = planned_steps(config, sets)
    if config["most_passes"]:
        most = most_steps(sets, passes=config["most_passes"], epochs=config["epochs"])
        if most < per_epoch:
            log.info(
                "%d steps per epoch instead of %d: the labelled set seen least is seen %d times at most (most_passes), "
                "so more labelled clips mean more steps",
                most,
                per_epoch,
                config["most_passes"],
            )
            per_epoch = most
    return Schedule.from_config(config, steps_per_epoch=per_epoch)


def make_step(
    config: Mapping[str, Any],
    student: Detector,
    front_end: FrontEnd,
    *,
    device: torch.device,
    world: World,
) -> TrainingStep:
    """Build the training step, with the student's teacher, flat parameters and optimiser.

    Args:
        config: options of training.
        student: the model to train, on the device.
        front_end: normalises the features, on the device.
        device: device of the models.
        world: processes that train together; all get the first one's weights.

    Returns:
        The step: eager, compiled or replayed from CUDA graphs.

    Raises:
        UserError: the options do not fit the student.
    """
    try:
        objective = build_objective(config, student)
        groups = parameter_groups(student, student.encoder, by_layer=config["layer_decay"] < 1)
    except ValueError as error:
        raise UserError(f"{error} (change the config)") from None
    check_teacher(config, student)
    teacher = make_teacher(student, buffers=config["ema_buffers"])
    student.train()
    teacher.train()
    flat = FlatParameters(groups, gradients=True)
    average = MovingAverage(student, flat, teacher, buffers=config["ema_buffers"])
    world.copy_from_first(*(t.detach() for t in flat.flat.values()), *average.flat)
    optimiser = build_optimiser(
        flat,
        weight_decay=config["weight_decay"],
        betas=(config["beta1"], config["beta2"]),
        device=device,
        layer_decay=config["layer_decay"],
    )
    precision = choose_precision(config["precision"], device)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    return graphs.choose(config["accelerate"], device)(
        student=student,
        teacher=teacher,
        flat=flat,
        optimiser=optimiser,
        average=average,
        preparation=Preparation(
            front_end=front_end,
            input_frames=student.input_frames,
            input_padding=student.input_padding,
            frame_seconds=student.frame_seconds,
            mixup_labels=config["mixup_labels"],
            apart=config["filter_augment"] != "none" or config["warp_probability"] > 0,
            warped=config["warp_probability"] > 0,
            wavmixed=config["wavmix_probability"] > 0,
            interpolated=config["interpolation_consistency"],
        ),
        clip_norm=config["clip_norm"],
        precision=precision,
        device=device,
        world=world,
        objective=objective,
        consistent=config["consistency_weight"] > 0,
    )


def check_teacher(config: Mapping[str, Any], student: Detector) -> None:
    """Raise UserError if the teacher's outputs or batch-norm statistics are asked for, but it is never evaluated."""
    statistics = any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in student.modules())
    if config["interpolation_consistency"] and config["consistency_weight"] == 0:
        raise UserError(
            "interpolation_consistency: with consistency_weight 0 the teacher is not evaluated (give it a weight)"
        )
    if statistics and config["ema_buffers"] == "own" and config["consistency_weight"] == 0:
        raise UserError(
            "ema_buffers own: with consistency_weight 0 the teacher is not evaluated, so it has no statistics "
            "(use average)"
        )


def check_selection(config: Mapping[str, Any]) -> None:
    """Raise UserError if the validation set is a test set, or a model is to be selected without one."""
    if Path(config["valid_set"]).name in TEST_SETS:  # also as `validation/`
        raise UserError(
            f"--valid-set {config['valid_set']} is a test set: selecting on it would invalidate its results "
            "(name a validation set)"
        )
    if config["select"] == "best" and not config["valid_set"]:
        raise UserError("--select best needs --valid-set (synth_valid)")


def make_validation(
    config: Mapping[str, Any], dump: Path, labels: list[str], model: Detector, front_end: FrontEnd
) -> TrainingSet | None:
    """Load the set that `--valid-set` names.

    Args:
        config: options of this module.
        dump: folder of the dumped sets.
        labels: class names.
        model: defines the number and length of label frames.
        front_end: the front end that the features must come from.

    Returns:
        The set; None if the option is empty.

    Raises:
        UserError: the set is not strong, or has only soft labels although `select_by` is scored against events, or no
            events although a model is selected on it, or its features are of another front end.
    """
    if not config["valid_set"]:
        return None
    folder = dump / config["valid_set"]
    valid = load_set(folder, labels, frames=model.num_frames, frame_seconds=model.frame_seconds)
    if valid.supervision != "strong":
        raise UserError(f"{folder}: no events.tsv (--valid-set needs a strong set)")
    if config["select_by"] != "frame_f1" and not (folder / "events.tsv").exists():
        raise UserError(
            f"{folder}: no events.tsv, against which {config['select_by']} is scored "
            "(--select-by frame_f1 also takes soft.tsv)"
        )
    assert valid.targets is not None
    targets = (valid.targets[[row]] for row in range(len(valid)))  # clip by clip, to the first with an event
    if config["select"] == "best" and not any(((y > 0) & (y != UNKNOWN)).any() for y in targets):
        raise UserError(f"{folder}: no events, by whose frame F1 --select best would choose (name another --valid-set)")
    check_front_end([valid], front_end)
    return valid


def make_validate(
    config: Mapping[str, Any],
    valid: TrainingSet | None,
    labels: list[str],
    step: TrainingStep,
    front_end: FrontEnd,
    make_scorer: Callable[..., Scorer] | None,
) -> Callable[[], dict[str, float]] | None:
    """Make the function that scores the teacher after an epoch.

    Args:
        config: `select_by`, `select_post_processing` and `batch_sizes` are used.
        valid: the validation set; None: no validation.
        labels: class names.
        step: the training step, which holds the teacher.
        front_end: normalises the features, on the teacher's device.
        make_scorer: as in `build_trainer`.

    Returns:
        A function that returns scores by name, as `validate`; None without a validation set.
    """
    if valid is None:
        return None
    scorer = None
    if config["select_by"] != "frame_f1" and make_scorer is not None:
        scorer = make_scorer(
            config["select_by"],
            valid.store.path,
            clips=valid.store.clips,
            labels=labels,
            frame_seconds=step.teacher.frame_seconds,
            post_processing=config["select_post_processing"],
        )
    return partial(
        validate,
        step.teacher,
        valid,
        front_end=front_end,
        batch_size=sum(config["batch_sizes"]),
        device=step.device,
        precision=step.precision,
        scorer=scorer,
    )


def make_pictures(
    config: Mapping[str, Any], valid: TrainingSet | None, labels: list[str], step: TrainingStep, front_end: FrontEnd
) -> Callable[[], dict[str, np.ndarray]]:
    """Make the function that draws the teacher's posteriors of some validation clips.

    Args:
        config: `loggers` and `log_pictures` are used.
        valid: the validation set; None: nothing is drawn.
        labels: class names.
        step: the training step, which holds the teacher.
        front_end: normalises the features, on the teacher's device.

    Returns:
        A function that returns images by clip, as `picture_clips`; an empty dict if no logger shows images.
    """
    if valid is None or not set(config["loggers"]) - {"jsonl", "none"}:
        return dict  # a function that returns no images
    return partial(
        picture_clips,
        step.teacher,
        valid,
        labels,
        rows=spread(len(valid), config["log_pictures"]),
        front_end=front_end,
        device=step.device,
        precision=step.precision,
    )


def make_maker(config: Mapping[str, Any], sets: list[TrainingSet], labels: list[str], step: TrainingStep) -> InputMaker:
    """Build the input maker, and load the features into the cache that the config names.

    Args:
        config: options of data and augmentation.
        sets: the training sets.
        labels: class names.
        step: the training step, which holds the student.

    Returns:
        The input maker.
    """
    student, nbytes = step.student, feature_bytes(sets)
    return InputMaker(
        sets,
        FeaturePool(sets, cache=choose_cache(config["cache"], nbytes, step.device), device=step.device),
        seed=config["seed"],
        options=AugmentOptions.from_config(config),
        frames=student.num_frames,
        frame_seconds=student.frame_seconds,
        classes=len(labels),
        shares=step.world.size * config["accumulate"],
        interpolated=config["interpolation_consistency"],
        pseudo=make_pseudo_labels(config, sets, labels, student),
    )


def make_pseudo_labels(
    config: Mapping[str, Any], sets: list[TrainingSet], labels: list[str], student: Detector
) -> PseudoLabels | None:
    """Read the pseudo-labels that a config names.

    Args:
        config: `pseudo_labels`, `pseudo_weight` and `pseudo_threshold` are used.
        sets: the training sets.
        labels: class names.
        student: defines the label frames.

    Returns:
        The pseudo-labels; None if their weight is 0.

    Raises:
        UserError: a weight without labels, labels without a weight, or they do not fit the sets.
    """
    if bool(config["pseudo_labels"]) != (config["pseudo_weight"] > 0):
        raise UserError("pseudo_labels and pseudo_weight: one is no use without the other (give both, or neither)")
    if not config["pseudo_labels"]:
        return None
    pseudo = PseudoLabels(
        sets,
        Path(config["pseudo_labels"]),
        labels=labels,
        frames=student.num_frames,
        frame_seconds=student.frame_seconds,
        threshold=config["pseudo_threshold"],
    )
    log.info("pseudo-labels of %s for %s", config["pseudo_labels"], ", ".join(pseudo.origins))
    return pseudo


def feature_bytes(sets: list[TrainingSet]) -> int:
    """Return the size of the sets' features in bytes, 2 per value (float16)."""
    return sum(len(s) for s in sets) * sets[0].store.frames * sets[0].store.bins * 2


def run_options(config: Mapping[str, Any], maker: Maker[Any], device: torch.device) -> RunOptions:
    """Choose the runtime options.

    On a GPU, losses are read only every 50 steps (our choice), because a read waits for all steps queued on the device.
    On a CPU, inputs are prefetched only if they are read from disk.

    Args:
        config: `checkpoint_seconds` and `ahead` are used.
        maker: the input maker.
        device: device of the training.

    Returns:
        The options.
    """
    threaded = device.type == "cuda" or not maker.in_memory
    return RunOptions(
        checkpoint_seconds=config["checkpoint_seconds"],
        check_every=50 if device.type == "cuda" else 1,
        ahead=config["ahead"] if threaded else 0,
    )


def loss_weights(config: Mapping[str, Any]) -> tuple[float, float, float, float, float, float]:
    """Return the weights of `losses.PARTS` once the consistency ramp has reached 1."""
    consistency = config["consistency_weight"]
    return (
        config["strong_weight"],
        config["weak_weight"],
        consistency * config["frame_consistency_weight"],
        consistency * config["clip_consistency_weight"],
        config["strong_tag_weight"],
        config["pseudo_weight"],
    )


def start_weights(config: Mapping[str, Any], student: Detector, labels: list[str]) -> str:
    """Load the student's initial weights.

    Args:
        config: `pretrained`, `freeze_batchnorm` and the options of the model.
        student: the model, whose weights are replaced.
        labels: class names.

    Returns:
        A description of the weights for logs, or `RANDOM`.

    Raises:
        UserError: the checkpoint does not fit, `class_merge` is set, or batch norms are to be frozen without a
            checkpoint.
    """
    if config["class_merge"] != "none":
        raise UserError(
            f"class_merge {config['class_merge']}: only for published heads, which are imported and not trained "
            "(python3 -m sed.bin.import_model; to train from its encoder, --pretrained names the checkpoint)"
        )
    weights = load_pretrained(student, config, labels) or RANDOM
    if config["freeze_batchnorm"] and weights == RANDOM:
        raise UserError(
            "freeze_batchnorm: random initial weights have no statistics to keep (give --pretrained, or "
            "--no-freeze-batchnorm)"
        )
    return weights


def build_trainer(
    config: Mapping[str, Any],
    dump: Path,
    folder: Path,
    *,
    device: torch.device,
    world: World,
    make_scorer: Callable[..., Scorer] | None = None,
) -> Trainer:
    """Build a trainer and everything that it needs.

    Args:
        config: options of training, model and front end.
        dump: folder of the dumped sets and labels.txt.
        folder: folder of the experiment, to be written.
        device: device to train on.
        world: the processes that train together.
        make_scorer: `sed.evaluation.selection.Selection`, passed in because training must not import evaluation;
            None: the score is the frame F1.

    Returns:
        The trainer, ready to run.

    Raises:
        UserError: the config is invalid, or does not fit the dump or the checkpoint to start from.
    """
    labels = read_labels(dump / "labels.txt")
    open_logger = logger_opener(config)
    torch.manual_seed(config["seed"])
    student = build_detector(config, len(labels))
    check_selection(config)
    sets = load_training_sets(config, dump, labels, student)
    front_end = make_front_end(config, sets, student.encoder)
    weights = start_weights(config, student, labels)
    valid = make_validation(config, dump, labels, student, front_end)
    student, front_end = student.to(device), front_end.to(device)
    step = make_step(config, student, front_end, device=device, world=world)
    maker, schedule = make_maker(config, sets, labels, step), make_schedule(config, sets)
    if world.first:
        log_start(weights, student, device, step.precision, f"{sum(map(len, sets))} clips")
        _log_plan(sets, maker, schedule)
        warn_of_drift(front_end)
        warn_of_a_slow_teacher(schedule, planned=planned_steps(config, sets))
    local_shares = config["accumulate"]
    return Trainer(
        folder,
        step=step,
        maker=maker,
        schedule=schedule,
        encoder_lr=config["encoder_lr"],
        head_lr=config["lr"],
        loss_weights=loss_weights(config),
        identity={
            "config": {key: value for key, value in sorted(config.items()) if key not in RUNTIME},
            "labels": labels,
            "front_end": front_end.params(),
        },
        options=run_options(config, maker, device),
        shares=[world.rank * local_shares + share for share in range(local_shares)],
        open_logger=open_logger,
        validate=make_validate(config, valid, labels, step, front_end, make_scorer),
        pictures=make_pictures(config, valid, labels, step, front_end),
        select=config["select"],
        weights=weights,
    )


def log_start(weights: str, model: nn.Module, device: torch.device, precision: str, clips: str) -> None:
    """Log the start of a training.

    Args:
        weights: description of the initial weights (file, and what was loaded from it), or `RANDOM`.
        model: the model to train.
        device: device of the training.
        precision: numeric precision.
        clips: description of the data, such as '1578 clips'.
    """
    log.info(
        "weights: %s; device: %s; precision: %s; %.2f M parameters; %s",
        *(weights, describe(device), precision, sum(p.numel() for p in model.parameters()) / 1e6, clips),
    )


def warn_of_drift(front_end: FrontEnd) -> None:
    """Warn if features and labels drift over 1 ms apart in a clip: `frame_shift` is not a whole number of samples."""
    shift = front_end.framing.shift / front_end.sample_rate
    drift = abs(front_end.frame_shift - shift) * front_end.clip_frames
    if drift > 1e-3:
        log.warning(
            "frame_shift %g is not a whole number of samples at %d Hz: at a clip's end, times are wrong by %.0f ms "
            "(dump features with frame_shift %.9g)",
            *(front_end.frame_shift, front_end.sample_rate, 1e3 * drift, shift),
        )


def warn_of_a_slow_teacher(schedule: Schedule, *, planned: int) -> None:
    """Warn if the training is short compared with the teacher's time constant (see `Schedule.teacher_is_slow`).

    If only `most_passes` makes it short, more data is needed, as `make_schedule` logs, not another decay.

    Args:
        schedule: the schedule of the training.
        planned: steps per epoch before `most_passes`, from `planned_steps`.
    """
    as_planned = replace(schedule, steps_per_epoch=planned)
    if as_planned.teacher_is_slow:  # the largest decay with which it is not slow is 1 - 5 / steps
        log.warning(
            "%d steps are few for ema_decay %g: %.0f %% of the final teacher's weight comes from the first half of the "
            "training (choose ema_decay up to %g for this number of steps)",
            *(schedule.steps, schedule.ema_decay, 100 * schedule.first_half_share),
            max(0.0, math.floor(1e4 * (1 - 5 / schedule.steps)) / 1e4),  # rounded up it would be slow again
        )


def _log_plan(sets: list[TrainingSet], maker: InputMaker, schedule: Schedule) -> None:
    """Log the sets, the number of steps, and where the features are kept."""
    log.info(
        "%s; %d epochs of %d steps of %d clips; features of %.2f GB in %s",
        ", ".join(f"{s.name} {s.found} clips, {s.batch_size} per step ({s.supervision})" for s in sets),
        schedule.epochs,
        schedule.steps_per_epoch,
        maker.clips,
        feature_bytes(sets) / 1e9,
        {"device": "the GPU's memory", "ram": "RAM", "none": "files"}[maker.pool.cache],
    )
