"""Training loop on a model of four parameters: schedule of its actions, resume, signals, refusals."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_training import Recorder
from torch import Tensor, nn

from sed.checkpoints.checkpoint import checkpoints, load_checkpoint, save_checkpoint
from sed.compatibility import NewerFormat
from sed.errors import RunError, UserError
from sed.training.distributed import World
from sed.training.loop import Loop, RunOptions, Stopped
from sed.training.parameters import FlatParameters, build_optimiser, parameter_groups
from sed.training.schedule import Schedule


class Numbers:
    """Input maker whose inputs are random numbers, a function of step and share."""

    clips, in_memory = 2, True

    def make(self, step: int, share: int = 0) -> Tensor:
        return torch.randn(4, 3, generator=torch.Generator().manual_seed(100 * step + share))

    def fetched(self, inputs: Tensor) -> Any:
        return inputs


class Toy(Loop):
    """Linear map fitted to random targets: a resume that draws other random numbers ends with other weights."""

    logged = ("loss", "noise")

    def __init__(self, folder: Path, *, labels: str = "a", width: int = 3, **options: Any) -> None:
        torch.manual_seed(1)
        model, self.recorder = nn.Linear(width, 1), Recorder()
        flat = FlatParameters(parameter_groups(model, nn.Module()), gradients=True)
        super().__init__(
            folder,
            maker=Numbers(),
            schedule=Schedule(epochs=3, steps_per_epoch=4),
            models={"student": model},
            optimiser=build_optimiser(flat, weight_decay=0.1, betas=(0.9, 0.99), device=torch.device("cpu")),
            identity={"config": {}, "labels": [labels], "front_end": {}},
            options=RunOptions(**{"checkpoint_seconds": 300.0, "check_every": 1, "ahead": 0, **options}),
            device=torch.device("cpu"),
            seed=7,
            open_logger=self.recorder.open,
            shares=[0, 1],
        )
        self.model, self.flat = model, flat
        self.taken: list[int] = []
        self.epochs: list[int] = []

    def take(self, step: int, inputs: list[Any]) -> Tensor:
        self.taken.append(step)
        noise = torch.rand(())
        self.flat.zero_gradients()
        loss = (self.model(torch.cat(inputs)) - noise).square().mean()
        loss.backward()
        self.optimiser.param_groups[0]["lr"] = self.rates(step)["all"]
        self.optimiser.step()
        return torch.stack([loss.detach(), noise])

    def rates(self, step: int) -> dict[str, float]:
        return {"all": 0.1 * self.schedule.lr_factor(step)}

    def epoch_ended(self, done: int) -> None:
        self.epochs.append(done)

    def info(self) -> dict[str, Any]:
        return {"epochs": list(self.epochs)}

    def restore_info(self, info: Any) -> None:
        self.epochs = list(info["epochs"])

    def finish(self) -> None:
        save_checkpoint(self.folder / "final.pt", self.checkpoint(self.schedule.steps, with_optimiser=False))


@pytest.fixture
def whole(tmp_path: Path) -> bytes:
    """Bytes of final.pt of an uninterrupted run."""
    Toy(tmp_path / "whole").run()
    return (tmp_path / "whole" / "final.pt").read_bytes()


def stop_at(step: int) -> Callable[[int], None]:
    def on_losses(done: int) -> None:
        if done == step:
            os.kill(os.getpid(), signal.SIGTERM)

    return on_losses


def test_every_step_is_logged_and_every_epoch_ends(tmp_path: Path) -> None:
    run = Toy(tmp_path)
    run.schedule = Schedule(epochs=3, steps_per_epoch=4, constant_epochs=0)
    run.run()
    losses = run.recorder.scalars_of
    assert list(losses["train/loss"]) == list(losses["train/noise"]) == list(range(1, 13))
    assert list(losses["lr/all"]) == list(losses["clips_per_second"]) == run.epochs == [4, 8, 12]
    assert losses["lr/all"][8] == run.rates(7)["all"] > run.rates(8)["all"]
    ends = [text for _, text in run.recorder.texts if text.startswith("epoch ")]
    mean = sum(losses["train/loss"][step] for step in range(5, 9)) / 4
    assert ends[1].startswith(f"epoch 2/3 step 8/12: loss {mean:.4f}, noise ")
    assert run.recorder.closed and run.recorder.opened_at == 0


def test_losses_are_read_every_few_steps(tmp_path: Path, whole: bytes) -> None:
    run = Toy(tmp_path / "seldom", check_every=3, ahead=2)
    reads: list[int] = []
    run.recorder.on_losses = lambda _step: reads.append(len(run.taken))
    run.run()
    # steps taken when each step's losses are read: three at a time, and at an epoch's end
    assert reads == [3, 3, 3, 4, 7, 7, 7, 8, 11, 11, 11, 12]
    assert (tmp_path / "seldom" / "final.pt").read_bytes() == whole


def test_a_run_whose_number_of_steps_has_changed_is_not_resumed(tmp_path: Path) -> None:
    run = Toy(tmp_path)
    run.recorder.on_losses = stop_at(9)
    with pytest.raises(Stopped):
        run.run()
    shorter = Toy(tmp_path)
    shorter.schedule = Schedule(epochs=3, steps_per_epoch=2)  # as after clips have been removed
    with pytest.raises(UserError, match=r"of a training of 12 steps, which now has 6: its sets have changed"):
        shorter.run()
    assert not (tmp_path / "final.pt").exists()


@pytest.mark.parametrize("stops", [[3], [4], [5, 6, 11], [1, 8, 9]])
def test_a_stopped_and_resumed_run_ends_with_the_same_bytes(tmp_path: Path, whole: bytes, stops: list[int]) -> None:
    folder = tmp_path / "stopped"
    seconds = 0.0
    for stop in stops:
        run = Toy(folder)
        run.recorder.on_losses = stop_at(stop)
        with pytest.raises(Stopped, match=f"stopped by SIGTERM after step {stop} of 12, checkpoint saved"):
            run.run()
        assert run.recorder.closed and run.seconds > seconds
        seconds = run.seconds
        assert json.loads((folder / "progress.json").read_text())["seconds"] == seconds
    last = Toy(folder)
    last.run()
    assert last.taken == list(range(stops[-1], 12)) and last.recorder.opened_at == stops[-1]
    assert last.recorder.texts[0][1] == f"resumed from {folder}/checkpoints/step-{stops[-1]:08d}.pt"
    assert last.epochs == [4, 8, 12] and last.seconds > seconds
    assert (folder / "final.pt").read_bytes() == whole


def test_a_damaged_checkpoint_is_not_one_of_the_two_that_stay(tmp_path: Path, whole: bytes) -> None:
    folder, place = tmp_path / "damaged", tmp_path / "damaged" / "checkpoints"
    for stop in (3, 7, 6):
        run = Toy(folder)
        run.recorder.on_losses = stop_at(stop)
        with pytest.raises(Stopped, match=f"after step {stop} of"):
            run.run()
        if stop == 7:
            (place / "step-00000007.pt").write_bytes(b"damaged")
    assert [path.name for path in checkpoints(place)] == ["step-00000003.pt", "step-00000006.pt"]
    Toy(folder).run()
    assert (folder / "final.pt").read_bytes() == whole


@pytest.mark.parametrize("content", ["", "5", "[]", "{}", '{"seconds": null}', '{"seconds": "x"}'])
def test_a_damaged_progress_json_loses_only_the_time(tmp_path: Path, content: str) -> None:
    run = Toy(tmp_path)
    run.recorder.on_losses = stop_at(3)
    with pytest.raises(Stopped):
        run.run()
    (tmp_path / "progress.json").write_text(content)
    last = Toy(tmp_path)
    last.run()
    assert last.taken == list(range(3, 12))


def test_a_signal_stops_the_run_before_the_next_regular_read(tmp_path: Path) -> None:
    run = Toy(tmp_path, check_every=50)
    take = run.take

    def signalled(step: int, inputs: list[Any]) -> Tensor:
        if step == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return take(step, inputs)

    run.take = signalled  # type: ignore[method-assign]
    with pytest.raises(Stopped, match="SIGINT after step 2"):
        run.run()
    assert list(run.recorder.scalars_of["train/loss"]) == [1, 2]


def test_signal_handlers_are_restored(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    run = Toy(tmp_path)
    seen: list[Any] = []
    run.recorder.on_losses = lambda _step: seen.append(signal.getsignal(signal.SIGTERM))
    run.run()
    assert seen[0] == run._on_signal
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_the_last_two_checkpoints_are_kept(tmp_path: Path, whole: bytes) -> None:
    folder = tmp_path / "often"
    Toy(folder, checkpoint_seconds=0.0).run()
    kept = checkpoints(folder / "checkpoints")
    assert [path.name for path in kept] == ["step-00000010.pt", "step-00000011.pt"]
    kept[1].write_bytes(kept[1].read_bytes()[:200])
    again = Toy(folder)
    again.run()
    assert again.taken == [10, 11] and (folder / "final.pt").read_bytes() == whole


def test_checkpoints_do_not_depend_on_interruptions(tmp_path: Path) -> None:
    for name, stops in (("a", [10]), ("b", [2, 7, 10])):
        for stop in stops:
            run = Toy(tmp_path / name)
            run.recorder.on_losses = stop_at(stop)
            with pytest.raises(Stopped):
                run.run()
    one, two = (tmp_path / name / "checkpoints" / "step-00000010.pt" for name in "ab")
    assert one.read_bytes() == two.read_bytes()
    assert load_checkpoint(one)["info"]["epochs"] == [4, 8]


@pytest.mark.parametrize("check_every", [1, 4])
def test_a_non_finite_loss_is_named_with_its_step(tmp_path: Path, check_every: int) -> None:
    run = Toy(tmp_path, check_every=check_every, checkpoint_seconds=0.0)
    take = run.take
    run.take = lambda step, inputs: take(step, inputs) * (torch.inf if step == 5 else 1)  # type: ignore[method-assign]
    last = 5 if check_every == 1 else 4
    with pytest.raises(RunError, match=rf"loss not finite at step 6: loss inf, .*good checkpoint is .*0000{last}\.pt"):
        run.run()
    assert run.recorder.closed


def test_a_non_finite_loss_without_a_checkpoint_is_reported(tmp_path: Path) -> None:
    run = Toy(tmp_path)
    run.take = lambda *_: torch.tensor([1.0, torch.nan])  # type: ignore[method-assign]
    with pytest.raises(RunError, match="step 1: loss 1, noise nan; there is no checkpoint before it"):
        run.run()


def test_checkpoints_of_another_run_are_refused(tmp_path: Path) -> None:
    run = Toy(tmp_path)
    run.recorder.on_losses = stop_at(2)
    with pytest.raises(Stopped):
        run.run()
    with pytest.raises(UserError, match=r"step-00000002\.pt: made with other labels"):
        Toy(tmp_path, labels="b").run()
    with pytest.raises(UserError, match=r"step-00000002\.pt: does not fit this config"):
        Toy(tmp_path, width=5).run()
    assert checkpoints(tmp_path / "checkpoints"), "what is refused is not lost"


def test_a_checkpoint_that_logs_other_values_is_refused(tmp_path: Path) -> None:
    """Versions differ in the parts of the loss."""
    path = tmp_path / "checkpoints" / "step-00000003.pt"
    toy = Toy(tmp_path)
    toy.state.epoch_sums = [0.5]
    save_checkpoint(path, toy.checkpoint(3, with_optimiser=True))
    with pytest.raises(UserError, match=r"step-00000003\.pt: logs 1 values per step, this version 2"):
        Toy(tmp_path).run()


def test_checkpoints_that_a_subclass_does_not_accept_are_deleted(tmp_path: Path, whole: bytes) -> None:
    folder = tmp_path / "rejected"
    save_checkpoint(folder / "checkpoints" / "step-00000009.pt", Toy(folder).checkpoint(9, with_optimiser=True))
    run = Toy(folder)
    run.accepts = lambda *_: False  # type: ignore[method-assign]
    run.run()
    assert not checkpoints(folder / "checkpoints") and (folder / "final.pt").read_bytes() == whole


def slow_down(run: Toy, clock: list[float], seconds: float) -> None:
    """Make each step of a run take this long by the clock, a list of its present time."""
    take = run.take

    def slow(step: int, inputs: list[Any]) -> Tensor:
        clock[0] += seconds
        return take(step, inputs)

    run.take = slow  # type: ignore[method-assign]


def test_a_line_of_progress_every_ten_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log_lines: list[str]
) -> None:
    from sed import progress

    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr("sys.stderr.isatty", lambda: False, raising=False)
    run = Toy(tmp_path)
    slow_down(run, clock, 6)
    run.run()
    lines = [line.split(":")[0] for line in log_lines if line.startswith(("step", "epoch"))]
    assert lines[:4] == ["step 2/12", "epoch 1/3 step 4/12", "step 6/12", "epoch 2/3 step 8/12"]
    assert log_lines[0].endswith("0.3 clips/s") and "0.3 clips/s, 0:00:48 left" in log_lines[1]
    assert all("0.3 clips/s" in line for line in log_lines if line.startswith("epoch")), "of each epoch alone"


def test_the_speed_of_a_resumed_epoch_is_that_of_its_own_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("sed.training.loop.time.monotonic", lambda: clock[0])
    run = Toy(tmp_path)
    run.recorder.on_losses = stop_at(3)
    with pytest.raises(Stopped):
        run.run()
    run = Toy(tmp_path)
    slow_down(run, clock, 4)
    run.run()
    assert set(run.recorder.scalars_of["clips_per_second"].values()) == {0.5}


def test_a_checkpoint_of_a_later_version_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Toy(tmp_path, checkpoint_seconds=0.0)
    run.recorder.on_losses = stop_at(3)
    with pytest.raises(Stopped):
        run.run()

    def refuse(path: Path) -> dict[str, Any]:
        if path.name == "step-00000003.pt":
            raise NewerFormat(f"{path}: of a later version")
        return load_checkpoint(path)

    monkeypatch.setattr("sed.training.loop.load_checkpoint", refuse)
    with pytest.raises(NewerFormat, match=r"step-00000003\.pt: of a later version"):
        Toy(tmp_path).run()
    assert len(checkpoints(tmp_path / "checkpoints")) == 2


def test_a_checkpoint_of_another_front_end_is_refused(tmp_path: Path) -> None:
    run = Toy(tmp_path)
    saved = {"labels": ["a"], "front_end": {"mel_bins": 96}}
    with pytest.raises(UserError, match=r"x\.pt: made with another front end: mel_bins is 96"):
        run.accepts(Path("x.pt"), saved)
    assert run.accepts(Path("x.pt"), {"labels": ["a"], "front_end": {}})


def test_seeds_on_the_device_differ_between_runs_steps_and_ranks(tmp_path: Path) -> None:
    found = set()
    for seed in range(1, 4):
        for rank in range(3):
            run = Toy(tmp_path)
            run.seed, run.world = seed, World(rank, 3)
            found |= {run.draw_seed(step) for step in range(50)}
    assert len(found) == 3 * 3 * 50
