"""The training run: steps, checkpoints, resume, logging, validation, and ending well whatever happens."""

from __future__ import annotations

import copy
import gc
import json
import logging
import math
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from sed.checkpoints.checkpoint import FORMAT, checkpoint_name, checkpoints, load_checkpoint, save_checkpoint
from sed.errors import RunError, UserError
from sed.files import replacing, write_json, write_text
from sed.progress import Progress
from sed.training.inputs import InputMaker, inputs_from
from sed.training.parameters import load_optimiser_state, optimiser_state
from sed.training.schedule import Schedule
from sed.training.step import LOGGED, StepValues, TrainingStep

log = logging.getLogger("sed.train")


class Stopped(RunError):
    """SIGTERM or SIGINT: the step was finished and a checkpoint saved."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a run goes about it; nothing here changes what is learned."""

    checkpoint_seconds: float = 300.0
    check_every: int = 50
    """steps between looks at the device's losses"""
    ahead: int = 2
    """steps whose inputs are made ahead"""


@dataclass
class State:
    """What goes into a checkpoint beside the weights: the same however often the run was interrupted."""

    step: int = 0
    epoch_sums: list[float] = field(default_factory=lambda: [0.0] * len(LOGGED))
    best_score: float | None = None
    best_step: int | None = None


class Trainer:
    """Trains until the schedule ends; `run` may be called on a folder that a killed run left at any instant.

    Files of `folder`: checkpoints/step-*.pt (the last two), best.pt (with `select` best), final.pt, info.json,
    tensorboard/. Only the first process writes.
    """

    def __init__(
        self,
        folder: Path,
        *,
        step: TrainingStep,
        maker: InputMaker,
        schedule: Schedule,
        encoder_lr: float,
        head_lr: float,
        loss_weights: tuple[float, float, float, float],
        identity: dict[str, Any],
        options: RunOptions,
        shares: list[int],
        validate: Callable[[], dict[str, float]] | None = None,
        select: str = "last",
    ) -> None:
        """`identity` is what every checkpoint says of itself: config, labels, front_end. `loss_weights` are those
        of `losses.PARTS` at full ramp; the last two are ramped. `validate` scores the teacher (`score`: higher is
        better) after each epoch."""
        self.folder, self.training_step, self.maker, self.schedule = folder, step, maker, schedule
        self.encoder_lr, self.head_lr, self.loss_weights = encoder_lr, head_lr, loss_weights
        self.identity, self.options, self.shares = identity, options, shares
        self.validate, self.select = validate, select
        self.world = step.world
        self.progress = State()
        self.seconds = 0.0  # of training, over all runs of this folder
        self.clips_per_second = 0.0
        self._signal: int | None = None
        self._writer: Any = None

    # What a step is given ---------------------------------------------------------------------------------------

    def values(self, step: int) -> StepValues:
        """The scheduled values of a step."""
        factor, ramp = self.schedule.lr_factor(step), self.schedule.ramp(step)
        strong, weak, frame, clip = self.loss_weights
        return StepValues(
            encoder_lr=self.encoder_lr * self.schedule.encoder_factor(step),
            head_lr=self.head_lr * factor,
            ema_weight=1 - self.schedule.decay(step),
            loss_weights=(strong, weak, frame * ramp, clip * ramp),
        )

    # The run ----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Train to the end, from the last good checkpoint if there is one; RunError when it must stop early."""
        self._resume()
        old = {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            if self.world.first:
                from torch.utils.tensorboard import SummaryWriter

                self._writer = SummaryWriter(str(self.folder / "tensorboard"), purge_step=self.progress.step)
            self._train()
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)
            if self._writer is not None:
                self._writer.close()
        self._finish()

    def _train(self) -> None:
        total, per_epoch = self.schedule.steps, self.schedule.steps_per_epoch
        first = self.progress.step
        started = last_save = time.monotonic()
        before = self.seconds
        epoch_started, epoch_first = started, first
        history: list[torch.Tensor] = []
        bar = Progress(total, "step", done=first, logger=log, describe=self._describe, shown=self.world.first)
        source = inputs_from(self.maker, range(first, total), self.shares, ahead=self.options.ahead)
        with bar:
            for step, host_inputs in source:
                torch.manual_seed(_mix(self.maker.seed, step, self.world.rank))  # dropout, where a model has it
                inputs = [self.maker.fetched(part) for part in host_inputs]
                history.append(self.training_step(inputs, self.values(step)))
                done = step + 1
                bar.advance(tell=False)
                epoch_ends = done % per_epoch == 0 or done == total
                if epoch_ends or len(history) >= self.options.check_every:
                    self._account(history, done)
                    now = time.monotonic()
                    self.seconds = before + now - started
                    stop = self.world.any(self._signal is not None)
                    due = self.world.any(now - last_save > self.options.checkpoint_seconds)
                    if epoch_ends:
                        self.clips_per_second = (done - epoch_first) * self.maker.clips / max(now - epoch_started, 1e-9)
                        self._log_epoch(done, bar.left or 0.0)
                        self._validate(done)
                        self.progress.epoch_sums = [0.0] * len(LOGGED)
                        epoch_started, epoch_first = time.monotonic(), done
                        bar.told()
                    else:
                        bar.tell()
                    if (stop or due) and done < total:
                        self._save(done)
                        last_save = time.monotonic()
                    if stop and done < total:
                        self.world.barrier()  # the end of any process ends them all: not before the first has saved
                        raise Stopped(
                            f"{self.folder}: stopped by {signal.Signals(self._signal or signal.SIGTERM).name} after "
                            f"step {done} of {total}, checkpoint saved (the same command goes on)"
                        )
                elif self._signal is not None and self.world.size == 1:
                    # End the wait for the next look: the history is short, and the step is done.
                    self._account(history, done)
                    self._save(done)
                    raise Stopped(
                        f"{self.folder}: stopped by {signal.Signals(self._signal).name} after step {done} of {total}, "
                        "checkpoint saved (the same command goes on)"
                    )

    def _describe(self, bar: Progress) -> str:
        loss = history_mean(self.progress, self.progress.step, self.schedule.steps_per_epoch)[0]
        return (
            f"step {self.progress.step}/{self.schedule.steps}: loss {loss:.4f}, "
            f"{bar.rate * self.maker.clips:.1f} clips/s, {_duration(bar.left or 0.0)} left"
        )

    def _on_signal(self, number: int, _frame: Any) -> None:
        self._signal = number

    def _account(self, history: list[torch.Tensor], done: int) -> None:
        """Read the losses of the steps since the last look: the only wait for the device. Refuses non-finite ones."""
        losses = torch.stack(history)
        history.clear()
        self.world.average(losses)
        rows = losses.tolist()
        first = done - len(rows)
        for at, row in enumerate(rows):
            if not all(map(math.isfinite, row)):
                parts = ", ".join(f"{name} {value:.4g}" for name, value in zip(LOGGED, row, strict=True))
                last = checkpoints(self.folder / "checkpoints")
                kept = f"the last good checkpoint is {last[-1]}" if last else "there is no checkpoint before it"
                raise RunError(
                    f"{self.folder}: loss not finite at step {first + at + 1}: {parts}; {kept} "
                    "(lower --lr or --encoder-lr, or look at the features)"
                )
            sums = self.progress.epoch_sums
            self.progress.epoch_sums = [a + b for a, b in zip(sums, row, strict=True)]
            if self._writer is not None:
                for name, value in zip(LOGGED, row, strict=True):
                    self._writer.add_scalar(f"train/{name}", value, first + at + 1)
        self.progress.step = done

    def _log_epoch(self, done: int, seconds_left: float) -> None:
        per_epoch = self.schedule.steps_per_epoch
        means = history_mean(self.progress, done, per_epoch)
        values = self.values(done - 1)
        parts = ", ".join(f"{name} {value:.4f}" for name, value in zip(LOGGED, means, strict=True))
        self._say(
            f"epoch {math.ceil(done / per_epoch)}/{self.schedule.epochs} step {done}/{self.schedule.steps}: {parts}; "
            f"lr {values.encoder_lr:.2e} {values.head_lr:.2e}; {self.clips_per_second:.1f} clips/s, "
            f"{_duration(seconds_left)} left, {_memory(self.training_step.device)}"
        )
        if self._writer is not None:
            self._writer.add_scalar("lr/encoder", values.encoder_lr, done)
            self._writer.add_scalar("lr/head", values.head_lr, done)
            self._writer.add_scalar("clips_per_second", self.clips_per_second, done)
            self._writer.flush()

    def _validate(self, done: int) -> None:
        if self.validate is None:
            return
        scores = self.validate()
        self._say("validation: " + ", ".join(f"{name} {value:.4f}" for name, value in scores.items()))
        if self._writer is not None:
            for name, value in scores.items():
                self._writer.add_scalar(f"valid/{name}", value, done)
        best = self.progress.best_score
        if self.select == "best" and (best is None or scores["score"] > best):
            self.progress.best_score, self.progress.best_step = scores["score"], done
            if self.world.first:
                save_checkpoint(self.folder / "best.pt", self._checkpoint(done, with_optimiser=False))

    # Files ------------------------------------------------------------------------------------------------------

    def _checkpoint(self, step: int, *, with_optimiser: bool) -> dict[str, Any]:
        # Tensors that are views of flat ones would be saved with all of their storage: clone.
        student, teacher = (
            {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
            for model in (self.training_step.student, self.training_step.teacher)
        )
        optimiser = optimiser_state(self.training_step.optimiser) if with_optimiser else {}
        info: dict[str, Any] = {"epoch_sums": list(self.progress.epoch_sums)} if with_optimiser else {}
        if self.progress.best_step is not None:
            info.update(best_score=self.progress.best_score, best_step=self.progress.best_step)
        # Only what (config, seed, step) determine: two runs that reach a step write the same bytes.
        return {
            "format": FORMAT,
            "student": student,
            "teacher": teacher,
            "optimizer": {g: {k: v.cpu() for k, v in state.items()} for g, state in optimiser.items()},
            "step": step,
            **self.identity,
            "info": info,
        }

    def _save(self, step: int) -> None:
        if not self.world.first:
            return
        place = self.folder / "checkpoints"
        started = time.monotonic()
        save_checkpoint(place / checkpoint_name(step), self._checkpoint(step, with_optimiser=True))
        write_json(self.folder / "progress.json", {"seconds": self.seconds})
        for old in checkpoints(place)[:-2]:
            old.unlink()
        self._say(f"checkpoint after step {step} ({time.monotonic() - started:.1f} s)")

    def _resume(self) -> None:
        """Load the last good checkpoint, if there is one: the first process finds it, all load the same."""
        place = self.folder / "checkpoints"
        if self.world.first:
            for path in reversed(checkpoints(place)):
                try:
                    saved = load_checkpoint(path)
                except UserError as error:
                    log.warning("%s; trying the one before", error)
                    continue
                self._restore(path, saved)
                self._say(f"resumed from {path}")
                break
        step = self.world.told_by_first(self.progress.step)
        if step and not self.world.first:
            path = place / checkpoint_name(step)
            try:
                saved = load_checkpoint(path)
            except UserError as error:
                raise RunError(f"{error}: the first process read it (do all nodes see the same folder?)") from None
            self._restore(path, saved)

    def _restore(self, path: Path, saved: dict[str, Any]) -> None:
        for key in ("labels", "front_end"):
            if saved[key] != self.identity[key]:
                raise UserError(f"{path}: made with other {key} (use another --tag, or --force true)")
        try:
            self.training_step.student.load_state_dict(saved["student"])
            self.training_step.teacher.load_state_dict(saved["teacher"])
            load_optimiser_state(self.training_step.optimiser, saved["optimizer"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise UserError(f"{path}: does not fit this config: {error} (--force true starts anew)") from None
        info = saved["info"]
        self.progress = State(
            step=saved["step"],
            epoch_sums=list(info["epoch_sums"]),
            best_score=info.get("best_score"),
            best_step=info.get("best_step"),
        )
        with suppress(OSError, ValueError, KeyError):
            self.seconds = float(json.loads((self.folder / "progress.json").read_text())["seconds"])

    def _finish(self) -> None:
        step = self.schedule.steps
        if self.world.first:
            best = self.folder / "best.pt"
            if self.select == "best" and best.exists():
                with replacing(self.folder / "final.pt") as part:
                    shutil.copyfile(best, part)
            else:
                save_checkpoint(self.folder / "final.pt", self._checkpoint(step, with_optimiser=False))
        self.world.barrier()

    def parts_that_fit(self) -> int | None:
        """After the GPU ran out of memory: into how many parts a batch must be cut to fit (`--accumulate`), by trying.

        None when not even the smallest part fits. Leaves gradients behind: only for a run that is over.
        """
        self.training_step.release()
        for parts in (2, 4, 8, 16, 32):
            shares = self.world.size * parts
            if any(size % shares for size in self.maker.sizes.values()):
                return None
            gc.collect()
            if self.training_step.device.type == "cuda":
                torch.cuda.empty_cache()
            maker = copy.copy(self.maker)
            maker.shares = shares
            try:
                self.training_step.backward(maker.fetched(maker.make(0)), 1.0)
                return parts
            except torch.OutOfMemoryError:
                continue
        return None

    def mark_done(self, info: dict[str, Any]) -> None:
        """Write info.json, then the marker."""
        if self.world.first:
            write_json(self.folder / "info.json", info)
            write_text(self.folder / ".done", "")

    def _say(self, message: str) -> None:
        if self.world.first:
            log.info("%s", message)


def history_mean(progress: State, done: int, per_epoch: int) -> list[float]:
    """Means of the losses over the epoch's steps so far."""
    steps = (done - 1) % per_epoch + 1
    return [value / steps for value in progress.epoch_sums]


def _mix(seed: int, step: int, rank: int) -> int:
    return (seed * 1_000_003 + step * 4_099 + rank) % (1 << 63)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"


def _memory(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{torch.cuda.max_memory_allocated(device) / 1e9:.1f} GB on the GPU"
    import resource

    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9:.2f} GB"
