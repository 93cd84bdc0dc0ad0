"""Training loop, independent of the model: steps, logging, checkpoints, exact resume and clean shutdown."""

from __future__ import annotations

import json
import logging
import math
import shutil
import signal
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sed.checkpoints.checkpoint import checkpoint_name, checkpoints, load_checkpoint, save_checkpoint
from sed.compatibility import NewerFormat
from sed.errors import RunError, UserError
from sed.features.params import difference
from sed.files import clear_stale, write_json
from sed.progress import Progress
from sed.training.distributed import World
from sed.training.inputs import Maker, StepInputs, inputs_from
from sed.training.logger import Logger, NoLogger
from sed.training.parameters import load_optimiser_state, optimiser_state
from sed.training.schedule import Schedule

log = logging.getLogger("sed.train")


class Stopped(RunError):
    """Stop by SIGTERM or SIGINT, after a step and with a checkpoint."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Runtime options: they do not affect the trained weights, so they may change on resume."""

    checkpoint_seconds: float
    """seconds between checkpoints, at least; they are saved only where losses are read"""
    check_every: int
    """steps between reads of the losses from the device; they are also read at the end of each epoch"""
    ahead: int
    """steps by which inputs are prefetched"""


@dataclass
class State:
    """Position in the run, stored beside the weights; it does not depend on how often the run was interrupted."""

    step: int = 0
    epoch_sums: list[float] = field(default_factory=list)
    """sum of each logged value over the steps of the current epoch"""


class Loop(ABC):
    """Training until the end of the schedule; `run` may be called on a folder left by a run killed at any instant.

    A subclass defines a step (`take`), the values logged (`logged`, `rates`) and what is written at the end
    (`finish`); it may override the methods from `epoch_ended` to `accepts`. Files in `folder`: checkpoints/step-*.pt
    (the last two), progress.json, and those of the loggers. Only the first process writes.
    """

    logged: tuple[str, ...]
    """names of the values that `take` returns"""

    def __init__(
        self,
        folder: Path,
        *,
        maker: Maker[Any],
        schedule: Schedule,
        models: Mapping[str, nn.Module],
        optimiser: torch.optim.AdamW,
        identity: Mapping[str, Any],
        options: RunOptions,
        device: torch.device,
        seed: int,
        open_logger: Callable[[Path, int], Logger] = NoLogger,
        shares: Sequence[int] = (0,),
        world: World | None = None,
    ) -> None:
        """
        Args:
            folder: folder of the run's files.
            maker: makes the inputs of each step.
            schedule: number of steps and epochs.
            models: models stored in checkpoints, by name: `student` and optionally `teacher`.
            optimiser: its state is stored in checkpoints.
            identity: what identifies the training, stored in every checkpoint: config, labels, front_end.
            options: runtime options.
            device: device of the models.
            seed: seed of the random numbers that a step draws on the device.
            open_logger: builds the logger, given the folder and the number of steps done at the run's start.
            shares: indices of the batch's shares that this process computes, one after the other.
            world: the processes that train together; None: only this one.
        """
        self.folder, self.maker, self.schedule = folder, maker, schedule
        self.models, self.optimiser, self.identity = models, optimiser, identity
        self.options, self.device, self.seed = options, device, seed
        self.open_logger, self.shares, self.world = open_logger, shares, world or World()
        self.state = State()
        self.logger: Logger = NoLogger()
        self.seconds = 0.0  # training time, summed over all runs of this folder
        self.clips_per_second = 0.0
        self._signal: int | None = None
        self._history: list[Tensor] = []  # values of the steps since the last read
        self._epoch_first = 0  # steps done before the epoch, or before this run if it resumed within the epoch
        self._epoch_started = self._read_at = self._saved_at = 0.0  # times of time.monotonic

    # What a subclass defines -------------------------------------------------------------------------------------

    @abstractmethod
    def take(self, step: int, inputs: list[StepInputs]) -> Tensor:
        """Take a training step.

        Args:
            step: index of the step, from 0.
            inputs: shares of the batch, on the device.

        Returns:
            The values named by `logged` (len(logged),) on the device, without waiting for it.
        """

    @abstractmethod
    def rates(self, step: int) -> dict[str, float]:
        """Return the learning rates of a step by the name of their group, for the log."""

    @abstractmethod
    def finish(self) -> None:
        """Write the result after the last step; all processes call it, only the first may write."""

    def epoch_ended(self, done: int) -> None:  # noqa: B027 (optional)
        """Act at the end of an epoch, after `done` steps; called in all processes."""

    def info(self) -> dict[str, Any]:
        """Return what to store in the `info` of every checkpoint, for `restore_info`."""
        return {}

    def restore_info(self, info: Mapping[str, Any]) -> None:  # noqa: B027 (optional)
        """Restore what `info` returned from the checkpoint that the run resumes from."""

    def draw_seed(self, step: int) -> int:
        """Return the seed of the random numbers that a step draws on the device (for dropout).

        The factors are arbitrary; they keep the seeds of neighbouring runs, steps and ranks apart.
        """
        return (self.seed * 1_000_003 + step * 4_099 + self.world.rank) % (1 << 63)

    def accepts(self, path: Path, saved: Mapping[str, Any]) -> bool:
        """Return whether the run resumes from a checkpoint; if False, it deletes the checkpoints and starts over.

        Raises:
            UserError: the checkpoint belongs to a different run, which must not be overwritten.
        """
        if saved["labels"] != self.identity["labels"]:
            raise UserError(f"{path}: made with other labels (choose another folder, or start over by --force)")
        other = difference(saved["front_end"], self.identity["front_end"])
        if other:
            raise UserError(
                f"{path}: made with another front end: {other} (choose another folder, or start over by --force)"
            )
        return True

    # The run -----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Train to the end, starting from the last readable checkpoint if there is one.

        Raises:
            Stopped: SIGTERM or SIGINT arrived; the same command resumes.
            RunError: a loss is not finite.
            UserError: the folder has a checkpoint of another run, or one that does not fit the models or the schedule.
        """
        self.state.epoch_sums = [0.0] * len(self.logged)
        resumed = self._resume()
        opener = self.open_logger if self.world.first else NoLogger
        with self._noting_signals(), closing(opener(self.folder, self.state.step)) as self.logger:
            if resumed is not None:
                self.say(f"resumed from {resumed}")
            self._train()
        self.finish()
        self.world.barrier()

    def _train(self) -> None:
        first, total = self.state.step, self.schedule.steps
        self._epoch_first = first
        self._epoch_started = self._read_at = self._saved_at = time.monotonic()
        source = inputs_from(self.maker, range(first, total), self.shares, ahead=self.options.ahead)
        with Progress(
            total, "step", done=first, logger=log, describe=self._describe, shown=self.world.first
        ) as progress:
            for step, made in source:
                torch.manual_seed(self.draw_seed(step))
                self._history.append(self.take(step, [self.maker.fetched(part) for part in made]))
                progress.advance(report=False)
                self._after(step + 1, progress)

    def _after(self, done: int, progress: Progress) -> None:
        """Do what is due after a step: read the losses, log, validate, save, stop."""
        epoch_ends = done % self.schedule.steps_per_epoch == 0 or done == self.schedule.steps
        stop_now = self._signal is not None and self.world.size == 1  # several processes agree at the next read
        if not (epoch_ends or stop_now or len(self._history) >= self.options.check_every):
            return
        self._read_losses(done)
        now = time.monotonic()
        self.seconds += now - self._read_at
        self._read_at = now
        stop = self.world.any(self._signal is not None)
        due = self.world.any(now - self._saved_at > self.options.checkpoint_seconds)
        if epoch_ends:
            self._end_epoch(done, now, progress)
        else:
            progress.report()
        if (stop or due) and done < self.schedule.steps:
            self._save(done)
            if stop:
                self._stop(done)

    def _read_losses(self, done: int) -> None:
        """Read the losses of the steps since the last read, which waits for the device, and log them.

        Raises:
            RunError: a loss is not finite.
        """
        losses = torch.stack(self._history)
        self._history.clear()
        self.world.average(losses)
        rows = losses.tolist()
        for step, row in enumerate(rows, done - len(rows) + 1):
            if not all(map(math.isfinite, row)):
                self._refuse(step, row)
            self.state.epoch_sums = [a + b for a, b in zip(self.state.epoch_sums, row, strict=True)]
            self.logger.scalars(step, {f"train/{name}": value for name, value in zip(self.logged, row, strict=True)})
        self.state.step = done

    def _refuse(self, step: int, row: list[float]) -> None:
        """Raise RunError with the values that a step logged, of which some are not finite."""
        parts = ", ".join(f"{name} {value:.4g}" for name, value in zip(self.logged, row, strict=True))
        last = checkpoints(self.folder / "checkpoints")
        kept = f"the last good checkpoint is {last[-1]}" if last else "there is no checkpoint before it"
        raise RunError(
            f"{self.folder}: loss not finite at step {step}: {parts}; {kept} "
            "(lower the learning rate, or look at the features)"
        )

    def _end_epoch(self, done: int, now: float, progress: Progress) -> None:
        """Log the epoch's mean values, learning rates and speed, and call `epoch_ended`."""
        per_epoch, rates = self.schedule.steps_per_epoch, self.rates(done - 1)
        self.clips_per_second = (done - self._epoch_first) * self.maker.clips / max(now - self._epoch_started, 1e-9)
        parts = ", ".join(f"{n} {v:.4f}" for n, v in zip(self.logged, self._means(), strict=True))
        self.say(
            f"epoch {math.ceil(done / per_epoch)}/{self.schedule.epochs} step {done}/{self.schedule.steps}: {parts}; "
            f"lr {' '.join(f'{rate:.2e}' for rate in rates.values())}; {self.clips_per_second:.1f} clips/s"
            f"{_left(progress)}, {_memory(self.device)}"
        )
        self.logger.scalars(
            done, {**{f"lr/{n}": rate for n, rate in rates.items()}, "clips_per_second": self.clips_per_second}
        )
        self.epoch_ended(done)
        self.state.epoch_sums = [0.0] * len(self.logged)
        self._epoch_started, self._epoch_first = time.monotonic(), done
        progress.postpone()

    def _describe(self, progress: Progress) -> str:
        """Return the text of a progress line."""
        return (
            f"step {self.state.step}/{self.schedule.steps}: {self.logged[0]} {self._means()[0]:.4f}, "
            f"{progress.rate * self.maker.clips:.1f} clips/s{_left(progress)}"
        )

    def _means(self) -> list[float]:
        """Return the means of the logged values over the epoch's steps so far."""
        steps = (self.state.step - 1) % self.schedule.steps_per_epoch + 1
        return [value / steps for value in self.state.epoch_sums]

    def say(self, message: str) -> None:
        """Log an event: as a message (first process only) and by the loggers."""
        if self.world.first:
            log.info("%s", message)
        self.logger.text(self.state.step, message)

    # Signals -----------------------------------------------------------------------------------------------------

    @contextmanager
    def _noting_signals(self) -> Iterator[None]:
        """Record SIGTERM and SIGINT within the context, so that `_after` stops the run; restore the handlers then."""
        old = {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: object) -> None:
        self._signal = number

    def _stop(self, done: int) -> None:
        """Raise Stopped after `done` steps, once the first process has saved the checkpoint."""
        self.world.barrier()  # torchrun ends all processes when one ends: wait until the first has saved
        # SIGTERM stands for the signal of another process, if this one got none
        raise Stopped(
            f"{self.folder}: stopped by {signal.Signals(self._signal or signal.SIGTERM).name} after step {done} of "
            f"{self.schedule.steps}, checkpoint saved (the same command resumes)"
        )

    # Checkpoints -------------------------------------------------------------------------------------------------

    def checkpoint(self, step: int, *, with_optimiser: bool) -> dict[str, Any]:
        """Return the content of a checkpoint.

        It depends on config, data, seed and step only: two runs that reach the same step write the same bytes.

        Args:
            step: number of steps done.
            with_optimiser: whether to include the optimiser's state, which resuming needs.

        Returns:
            The dictionary for `save_checkpoint`, on the CPU.
        """
        resuming = {"epoch_sums": list(self.state.epoch_sums), "steps": self.schedule.steps} if with_optimiser else {}
        # Clone: views of flat tensors (`sed.training.parameters`) would be saved with their whole storage.
        weights = {
            which: {name: tensor.detach().cpu().clone() for name, tensor in self.models[which].state_dict().items()}
            if which in self.models
            else {}
            for which in ("student", "teacher")
        }
        optimiser = optimiser_state(self.optimiser) if with_optimiser else {}
        return {
            **weights,
            # Interned: pickle refers to a string that it has written before only if it is the same object; the keys
            # of a state that was read from a checkpoint are equal strings, but different objects.
            "optimizer": {g: {sys.intern(k): v.cpu() for k, v in state.items()} for g, state in optimiser.items()},
            "step": step,
            **self.identity,
            "info": {**resuming, **self.info()},
        }

    def _save(self, step: int) -> None:
        """Save a checkpoint after `step` steps; only the first process writes."""
        if self.world.first:
            place = self.folder / "checkpoints"
            path, started = place / checkpoint_name(step), time.monotonic()
            save_checkpoint(path, self.checkpoint(step, with_optimiser=True))
            write_json(self.folder / "progress.json", {"seconds": self.seconds})
            found = checkpoints(place)
            kept = [one for one in found if one <= path][-2:]  # two, in case the last one is damaged
            for other in set(found) - set(kept):  # earlier ones, and later ones that could not be read on resume
                other.unlink()
            self.say(f"checkpoint after step {step} ({time.monotonic() - started:.1f} s)")
        self._saved_at = time.monotonic()

    def _resume(self) -> Path | None:
        """Load the last readable checkpoint if there is one; the first process chooses it for all.

        Returns:
            Its path in the first process; None in the others, and if there is none.
        """
        found = self._last_good() if self.world.first else None
        if found is not None:
            self._restore(*found)
        step = self.world.number_of_first(self.state.step)
        if step and not self.world.first:
            path = self.folder / "checkpoints" / checkpoint_name(step)
            try:
                saved = load_checkpoint(path)
            except UserError as error:
                raise RunError(f"{error}: the first process read it (do all nodes see the same folder?)") from None
            self._restore(path, saved)
        return None if found is None else found[0]

    def _last_good(self) -> tuple[Path, dict[str, Any]] | None:
        """Return path and content of the last readable checkpoint; None if there is none, or `accepts` refuses it.

        Raises:
            NewerFormat: a later version wrote a checkpoint.
            UserError: a checkpoint belongs to a different run.
        """
        place = self.folder / "checkpoints"
        for path in reversed(checkpoints(place)):
            try:
                saved = load_checkpoint(path)
            except NewerFormat:
                raise
            except UserError as error:
                log.warning("%s; trying the one before", error)
                continue
            if self.accepts(path, saved):
                return path, saved
            shutil.rmtree(place)
            break
        return None

    def _restore(self, path: Path, saved: dict[str, Any]) -> None:
        """Load models, optimiser and position from the content of a checkpoint.

        Raises:
            UserError: they do not fit, or the training now has another number of steps or of logged values.
        """
        steps = saved["info"].get("steps", self.schedule.steps)  # earlier versions did not store it
        if steps != self.schedule.steps:
            raise UserError(
                f"{path}: of a training of {steps} steps, which now has {self.schedule.steps}: its sets have changed "
                "(restore them, or start over by --force)"
            )
        sums = list(saved["info"].get("epoch_sums", ()))
        if len(sums) != len(self.logged):
            raise UserError(
                f"{path}: logs {len(sums)} values per step, this version {len(self.logged)} (resume with the version "
                "that wrote it, or start over by --force)"
            )
        try:
            for which, model in self.models.items():
                model.load_state_dict(saved[which])
            load_optimiser_state(self.optimiser, saved["optimizer"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise UserError(f"{path}: does not fit this config: {error} (start over by --force)") from None
        self.state = State(step=saved["step"], epoch_sums=sums)
        self.restore_info(saved["info"])
        with suppress(OSError, ValueError, KeyError, TypeError):  # only the reported time is lost
            self.seconds = float(json.loads((self.folder / "progress.json").read_text())["seconds"])


def drop_resume_state(folder: Path) -> None:
    """Remove the files that only resuming needs: progress.json, checkpoints and stale temporary files."""
    (folder / "progress.json").unlink(missing_ok=True)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    clear_stale(folder)


def _left(progress: Progress) -> str:
    """Return `, 0:02:03 left`; empty as long as the time left is unknown."""
    return "" if progress.left is None else f", {_duration(progress.left)} left"


def _duration(seconds: float) -> str:
    """Format a duration as h:mm:ss."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"


def _memory(device: torch.device) -> str:
    """Format the peak memory: that of the GPU, or on a CPU that of this process."""
    if device.type == "cuda":
        return f"{torch.cuda.max_memory_allocated(device) / 1e9:.1f} GB on the GPU"
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, KiB on Linux
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9:.2f} GB"
