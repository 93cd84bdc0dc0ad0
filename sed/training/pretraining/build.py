"""From a flat config and a dumped set or a soundbank to a pre-training: data, model, optimiser."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sed.data.batches import FeaturePool, arrange, choose_cache, load_set
from sed.data.synthesis.sound_table import Sounds
from sed.data.synthesis.soundbank import SoundBank
from sed.errors import UserError
from sed.features.logmel import FrontEnd
from sed.models.tagger import Tagger, build_any_tagger
from sed.training.augment import AugmentOptions
from sed.training.build import RANDOM, check_front_end, feature_bytes, log_start, run_options
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


def build_pretraining(
    config: Mapping[str, Any], source: Path, out: Path, labels: list[str] | None, *, device: torch.device
) -> Pretraining:
    """Build a pre-training from what it learns from.

    Args:
        config: of the options of `pretraining`, the model's and the front end's.
        source: a dumped set with tags or events; or a soundbank.
        out: the checkpoint to write.
        labels: the set's, which are the classes; None: the soundbank's kinds are.
        device: trains.
    """
    open_logger = logger_opener(config)
    torch.manual_seed(config["seed"])
    front_end = FrontEnd.from_config(config).to(device)
    if front_end.wants_statistics:
        raise UserError("normaliser bins: pre-training takes no statistics (give norm_bins, or another normaliser)")
    frames, frame_seconds = label_frames(config)
    maker: InputMaker | SoundscapeMaker
    if labels is None:
        maker = soundscape_maker(config, source, front_end, frames, frame_seconds, device=device)
        labels, clips = maker.labels, 0
    else:
        maker, clips = dump_maker(config, source, front_end, labels, frames, frame_seconds, device=device)
    schedule = make_schedule(config, clips)
    log.info("%d steps of %d clips, %d classes", schedule.steps, maker.clips, len(labels))
    model = make_model(config, len(labels), device)
    flat = FlatParameters(parameter_groups(model, nn.Module()), gradients=True)
    precision = choose_precision(config["precision"], device)
    log_start(RANDOM, model, device, precision, f"{clips} clips" if clips else "clips are mixed as they are needed")
    return Pretraining(
        out,
        config=config,
        model=model,
        flat=flat,
        optimiser=build_optimiser(
            flat, weight_decay=config["weight_decay"], betas=(config["beta1"], config["beta2"]), device=device
        ),
        maker=maker,
        preparation=Preparation(
            front_end=front_end,
            input_frames=config["input_frames"],
            input_padding=config["input_padding"],
            frame_seconds=frame_seconds,
            mixup_labels=config["mixup_labels"],
            apart=False,
        ),
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
    )


def label_frames(config: Mapping[str, Any]) -> tuple[int, float]:
    """Return the label frames of a clip, and the seconds of one.

    Raises:
        UserError: patchout leaves no band of patches, or the encoder has no patches to leave out.
    """
    with torch.device("meta"):
        tagger = build_any_tagger(config, 1)
    bands, columns = tagger.encoder.grid
    for option in ("patchout", "drop_path"):
        if config[option] and not isinstance(tagger, Tagger):
            raise UserError(f"{option} {config[option]}: encoder '{config['encoder']}' has no patches (leave it at 0)")
    if config["patchout"] and config["patchout"] >= bands:
        raise UserError(f"patchout {config['patchout']}: the patch grid has {bands} bands (leave one at least)")
    step_seconds = tagger.encoder.time_stride * config["frame_shift"]
    steps = min(columns, math.ceil(config["clip_seconds"] / step_seconds - 1e-6))
    return steps * config["frame_detail"], step_seconds / config["frame_detail"]


def soundscape_maker(
    config: Mapping[str, Any],
    source: Path,
    front_end: FrontEnd,
    frames: int,
    frame_seconds: float,
    *,
    device: torch.device,
) -> SoundscapeMaker:
    """Make what mixes the inputs from a soundbank."""
    sounds = Sounds.load(SoundBank(source), procedural=config["procedural"], seed=config["seed"], nj=config["nj"])
    log.info("%s: %d sounds of %d kinds", source, len(sounds.length), len(sounds.kinds))
    return SoundscapeMaker(sounds, front_end, config=config, frames=frames, frame_seconds=frame_seconds, device=device)


def dump_maker(
    config: Mapping[str, Any],
    source: Path,
    front_end: FrontEnd,
    labels: list[str],
    frames: int,
    frame_seconds: float,
    *,
    device: torch.device,
) -> tuple[InputMaker, int]:
    """Make what draws the inputs from a dumped set; return it and the number of clips.

    Raises:
        UserError: the set has no labels, or features of another front end.
    """
    data = load_set(source, labels, frames=frames, frame_seconds=frame_seconds, batch_size=config["batch_size"])
    if data.supervision == "unlabelled":
        raise UserError(f"{source}: neither events.tsv nor tags.tsv (pre-training needs labels)")
    arrange([data])
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
    )
    return maker, len(data)


def make_schedule(config: Mapping[str, Any], clips: int) -> Schedule:
    """Return the schedule over a set of so many clips; 0: one without end."""
    per_epoch = config["steps_per_epoch"] or clips // config["batch_size"]
    if not per_epoch:
        raise UserError("steps_per_epoch 0: soundscapes have no end (say how many steps are an epoch)")
    return Schedule.from_config(config, steps_per_epoch=per_epoch)


def make_model(config: Mapping[str, Any], classes: int, device: torch.device) -> Pretrainer:
    """Return what is trained, on the device and in training mode; compiled where the config says so."""
    tagger = build_any_tagger(config, classes)
    model = Pretrainer(tagger, classes, detail=config["frame_detail"]).to(device)
    model.train()
    parts: list[nn.Module] = [model.get_submodule("tagger.encoder")]
    if isinstance(tagger, Tagger):
        parts = list(tagger.encoder.blocks)  # one by one: they are alike, so one compilation serves all
        for block in tagger.encoder.blocks:
            block.drop_path = config["drop_path"]
    if config["accelerate"] == "compile" or (config["accelerate"] == "auto" and device.type == "cuda"):
        for part in parts:
            part.compile(dynamic=False)
    return model
