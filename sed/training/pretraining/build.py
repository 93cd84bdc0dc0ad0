"""Build a pre-training from a flat config and a dumped set or a soundbank: data, model, optimiser."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sed.config import default_options
from sed.data.batches import FeaturePool, arrange, choose_cache, load_set
from sed.data.directory import read_set_labels
from sed.data.synthesis.sound_table import Sounds
from sed.data.synthesis.soundbank import SoundBank
from sed.errors import UserError
from sed.features.logmel import FrontEnd
from sed.models.tagger import Tagger, build_any_tagger
from sed.training.augment import AugmentOptions
from sed.training.build import RANDOM, check_front_end, feature_bytes, log_start, run_options, warn_of_drift
from sed.training.distributed import World
from sed.training.inputs import InputMaker
from sed.training.logger import logger_opener
from sed.training.parameters import FlatParameters, build_optimiser, parameter_groups
from sed.training.pretraining.pretrainer import Pretrainer
from sed.training.pretraining.pretraining import Pretraining
from sed.training.pretraining.run_options import RUNTIME
from sed.training.pretraining.soundscape_inputs import SoundscapeMaker
from sed.training.schedule import Schedule
from sed.training.step import Preparation, choose_precision

log = logging.getLogger("sed.pretrain")

WITHOUT_EFFECT = ("encoder_lr", "layer_decay", "frozen_epochs", "most_passes", "ema_decay")
"""options of `sed.training.schedule` without a use here: there is one learning rate, nothing is frozen, there is no
teacher, and passes over the only set are limited by `epochs` and `steps_per_epoch` alone"""


def build_pretraining(
    config: Mapping[str, Any],
    source: Path,
    out: Path,
    labels: list[str] | None,
    *,
    device: torch.device,
    world: World | None = None,
) -> Pretraining:
    """Build a pre-training.

    Args:
        config: options of pre-training, model and front end.
        source: a dumped set with events.tsv, soft.tsv or tags.tsv, or a soundbank.
        out: path of the checkpoint to write.
        labels: those of `source_labels`; None: `source` is a soundbank.
        device: device to train on.
        world: the processes that train together; None: only this one.

    Returns:
        The pre-training, ready to run.

    Raises:
        UserError: the config is invalid or does not fit the data.
    """
    open_logger, world = logger_opener(config), world or World()
    defaults = default_options("sed.training.schedule")
    if given := [key for key in WITHOUT_EFFECT if config[key] != defaults[key]]:
        raise UserError(f"{given[0]} {config[given[0]]}: without effect in pre-training (leave it out)")
    torch.manual_seed(config["seed"])
    front_end = FrontEnd.from_config(config).to(device)
    if front_end.wants_statistics:
        raise UserError("normaliser bins: pre-training computes no statistics (give norm_bins, or another normaliser)")
    frames, frame_seconds = label_frames(config)
    maker: InputMaker | SoundscapeMaker
    if labels is None:
        maker = soundscape_maker(config, source, front_end, frames, frame_seconds, device=device, shares=world.size)
        labels, clips = maker.labels, 0  # 0: unlimited
    else:
        maker, clips = dump_maker(
            config, source, front_end, labels, frames, frame_seconds, device=device, shares=world.size
        )
    schedule = make_schedule(config, clips)
    log.info("%d steps of %d clips, %d classes", schedule.steps, maker.clips, len(labels))
    model = make_model(config, len(labels), device)
    # An empty module as encoder: all parameters have the same learning rate.
    flat = FlatParameters(parameter_groups(model, nn.Module()), gradients=True)
    world.copy_from_first(*(tensor.detach() for tensor in flat.flat.values()))
    precision = choose_precision(config["precision"], device)
    if world.first:
        warn_of_drift(front_end)
    log_start(RANDOM, model, device, precision, f"{clips} clips" if clips else "clips are mixed on the fly")
    return Pretraining(
        out,
        config=config,
        model=model,
        flat=flat,
        optimiser=build_optimiser(
            flat, weight_decay=config["weight_decay"], betas=(config["beta1"], config["beta2"]), device=device
        ),
        maker=maker,
        preparation=make_preparation(config, front_end, frame_seconds),
        frames=frames,
        precision=precision,
        schedule=schedule,
        identity={
            "config": {key: value for key, value in config.items() if key not in RUNTIME},
            "labels": labels,
            "front_end": front_end.params(),
        },
        options=run_options(config, maker, device),
        device=device,
        open_logger=open_logger,
        world=world,
    )


def source_labels(source: Path) -> list[str] | None:
    """Return the class names of a dumped set; None: `source` is a soundbank, whose kinds of sounds are the classes."""
    if not source.is_dir():
        raise UserError(f"{source}: no such dumped set or soundbank (check the path)")
    return None if (source / "train" / "foreground").is_dir() else read_set_labels(source)


def label_frames(config: Mapping[str, Any]) -> tuple[int, float]:
    """Return the number of label frames per clip, and their length in seconds.

    Raises:
        UserError: patchout drops all bands of patches, or patchout or drop_path is given and the encoder is not an AST.
    """
    with torch.device("meta"):
        tagger = build_any_tagger(config, 1)
    bands, columns = tagger.encoder.grid
    for option in ("patchout", "drop_path"):
        if config[option] and not isinstance(tagger, Tagger):
            raise UserError(
                f"{option} {config[option]}: only for encoder 'ast', not '{config['encoder']}' (leave it at 0)"
            )
    if config["patchout"] and config["patchout"] >= bands:
        raise UserError(f"patchout {config['patchout']}: the patch grid has {bands} bands (keep at least one)")
    step_seconds = tagger.encoder.time_stride * config["frame_shift"]
    steps = min(columns, math.ceil(config["clip_seconds"] / step_seconds - 1e-6))  # 1e-6: against rounding up
    return steps * config["frame_detail"], step_seconds / config["frame_detail"]


def soundscape_maker(
    config: Mapping[str, Any],
    source: Path,
    front_end: FrontEnd,
    frames: int,
    frame_seconds: float,
    *,
    device: torch.device,
    shares: int = 1,
) -> SoundscapeMaker:
    """Build the input maker of a soundbank.

    Args:
        config: options of pre-training.
        source: the soundbank.
        front_end: computes features on the device.
        frames: label frames per clip.
        frame_seconds: length of a label frame in seconds.
        device: device to mix on.
        shares: number of equal shares that a batch is divided into, one for each process.

    Returns:
        The input maker.

    Raises:
        UserError: the config does not fit the soundbank.
    """
    sounds = Sounds.load(SoundBank(source), procedural=config["procedural"], seed=config["seed"], nj=config["nj"])
    log.info("%s: %d sounds of %d kinds", source, len(sounds.length), len(sounds.kinds))
    return SoundscapeMaker(
        sounds, front_end, config=config, frames=frames, frame_seconds=frame_seconds, device=device, shares=shares
    )


def dump_maker(
    config: Mapping[str, Any],
    source: Path,
    front_end: FrontEnd,
    labels: list[str],
    frames: int,
    frame_seconds: float,
    *,
    device: torch.device,
    shares: int = 1,
) -> tuple[InputMaker, int]:
    """Build the input maker of a dumped set.

    Args:
        config: options of pre-training.
        source: the dumped set.
        front_end: the front end that its features must come from.
        labels: class names.
        frames: label frames per clip.
        frame_seconds: length of a label frame in seconds.
        device: device of the training.
        shares: number of equal shares that a batch is divided into, one for each process.

    Returns:
        The input maker and the number of clips.

    Raises:
        UserError: the set has no labels, or tags only and their weight is 0; or its features are of another front end.
    """
    data = load_set(source, labels, frames=frames, frame_seconds=frame_seconds, batch_size=config["batch_size"])
    if data.supervision == "unlabelled":
        raise UserError(f"{source}: none of events.tsv, soft.tsv and tags.tsv (pre-training needs labels)")
    if data.supervision == "weak" and config["tag_weight"] == 0:
        raise UserError(f"{source}: has tags only, of which tag_weight 0 learns nothing (give it a weight)")
    arrange([data])  # only for its checks, such as of the batch size: a single set needs no order
    check_front_end([data], front_end)
    nbytes = feature_bytes([data])
    pool = FeaturePool([data], cache=choose_cache(config["cache"], nbytes, device), device=device)
    log.info(
        "%s: %d clips (%s); features of %.2f GB, cache %s",
        *(source, len(data), data.supervision, nbytes / 1e9, pool.cache),
    )
    maker = InputMaker(
        [data],
        pool,
        seed=config["seed"],
        options=AugmentOptions.from_config(config),
        frames=frames,
        frame_seconds=frame_seconds,
        classes=len(labels),
        shares=shares,
    )
    return maker, len(data)


def make_preparation(config: Mapping[str, Any], front_end: FrontEnd, frame_seconds: float) -> Preparation:
    """Build the preparation of inputs.

    Args:
        config: options of pre-training.
        front_end: normalises the features.
        frame_seconds: length of a label frame in seconds.

    Returns:
        The preparation, which makes no separate input for a teacher.
    """
    return Preparation(
        front_end=front_end,
        input_frames=config["input_frames"],
        input_padding=config["input_padding"],
        frame_seconds=frame_seconds,
        mixup_labels=config["mixup_labels"],
        apart=False,
        warped=config["warp_probability"] > 0,
        wavmixed=config["wavmix_probability"] > 0,
    )


def make_schedule(config: Mapping[str, Any], clips: int) -> Schedule:
    """Return the schedule for a set of `clips` clips; 0: soundscapes, whose number is unlimited.

    Raises:
        UserError: the number of steps per epoch is not given for soundscapes.
    """
    per_epoch = config["steps_per_epoch"] or clips // config["batch_size"]
    if not per_epoch:
        raise UserError("steps_per_epoch 0: the number of soundscapes is unlimited (say how many steps are an epoch)")
    return Schedule.from_config(config, steps_per_epoch=per_epoch)


def make_model(config: Mapping[str, Any], classes: int, device: torch.device) -> Pretrainer:
    """Build the model.

    Args:
        config: options of the model and `accelerate`.
        classes: number of classes.
        device: device to train on.

    Returns:
        The model on the device, in training mode, its encoder compiled if the config says so.
    """
    tagger = build_any_tagger(config, classes)
    model = Pretrainer(tagger, classes, detail=config["frame_detail"]).to(device)
    model.train()
    parts: list[nn.Module] = [model.get_submodule("tagger.encoder")]
    if isinstance(tagger, Tagger):
        parts = list(tagger.encoder.blocks)  # separately: blocks are alike, so one compilation is reused for all
        for block in tagger.encoder.blocks:
            block.drop_path = config["drop_path"]
    if config["accelerate"] == "compile" or (config["accelerate"] == "auto" and device.type == "cuda"):
        for part in parts:
            part.compile(dynamic=False)
    return model
