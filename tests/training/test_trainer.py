"""The whole run: exact resume, signals, refusals, accumulation, ranks."""

import json
import math
import os
import random
import re
import signal
import subprocess
import sys
import time

import pytest
import torch
from paths import ROOT
from tiny_training import Recorder, rows_of, trainer_of

from sed.checkpoints.checkpoint import checkpoints, load_checkpoint
from sed.errors import RunError, UserError
from sed.training.loop import Stopped
from sed.training.step import LOGGED


def losses_of(config, dump, folder):
    """Return the total loss of every step of a run."""
    return [row[0] for row in rows_of(config, dump, folder)]


def command(config_file, dump, exp, *options):
    return [sys.executable, "-m", "sed.bin.train", "--config", str(config_file), *options, str(dump), str(exp)]


def run(*args, **kwargs):
    return subprocess.run(*args, capture_output=True, text=True, check=False, **kwargs)


@pytest.mark.thorough
@pytest.mark.parametrize("frozen_epochs", [0, 1])
def test_resume_is_bit_identical_from_any_checkpoint(frozen_epochs, dump, tiny_config, tmp_path):
    config = tiny_config(valid_set="synth_valid", select="best", encoder_lr=1e-3, lr=1e-2, head_dropout=0.1)
    config["frozen_epochs"] = frozen_epochs
    trainer_of(config, dump, tmp_path / "whole").run()
    final = (tmp_path / "whole" / "final.pt").read_bytes()
    for stop in (5, 6, 7):  # within an epoch, at its end, and in the next
        folder = tmp_path / f"stopped_{stop}"
        trainer = trainer_of(config, dump, folder)
        trainer.open_logger = Recorder(
            lambda step, stop=stop: step == stop and os.kill(os.getpid(), signal.SIGTERM)
        ).open
        with pytest.raises(Stopped, match=f"after step {stop} of 12"):
            trainer.run()
        assert [p.name for p in checkpoints(folder / "checkpoints")] == [f"step-{stop:08d}.pt"]
        trainer_of(config, dump, folder).run()
        assert (folder / "final.pt").read_bytes() == final, stop


def test_a_step_s_values_are_those_of_the_schedule(dump, tiny_config, tmp_path):
    weights = {"strong_tag_weight": 0.3, "frame_consistency_weight": 0.5, "clip_consistency_weight": 0.25}
    rates = {"lr": 1e-2, "encoder_lr": 1e-3, "frozen_epochs": 0.5, "constant_epochs": 9}
    trainer = trainer_of(tiny_config(**weights, **rates, ramp_epochs=1), dump, tmp_path)
    values, ramp = trainer.values(3), math.exp(-5 * 0.5**2)  # half of the ramp's six steps
    # in the order of losses.PARTS; the defaults are strong 1, weak 0.5, consistency 2 and pseudo-labels 0
    assert values.loss_weights == pytest.approx((1.0, 0.5, 2 * 0.5 * ramp, 2 * 0.25 * ramp, 0.3, 0.0))
    assert (values.encoder_lr, values.head_lr) == pytest.approx((1e-3, 1e-2))
    assert values.ema_weight == pytest.approx(1 / 4), "the mean of four students"
    assert (trainer.values(2).encoder_lr, trainer.values(2).head_lr) == (0, 1e-2)


@pytest.mark.parametrize(("scores", "best"), [([0.5, 0.75], 2), ([0.75, 0.5], 1), ([0.5, 0.5], 1)])
def test_the_first_of_the_best_epochs_is_selected(scores, best, dump, tiny_config, tmp_path):
    config = tiny_config(valid_set="synth_valid", select="best", steps_per_epoch=1)
    trainer = trainer_of(config, dump, tmp_path)
    left = iter(scores)
    trainer.validate = lambda: {"score": next(left)}
    trainer.run()
    assert trainer.info() == {"best_score": max(scores), "best_step": best}
    assert load_checkpoint(tmp_path / "final.pt")["step"] == best
    resumed = trainer_of(config, dump, tmp_path)
    assert resumed.info() == {}
    resumed.restore_info(trainer.info())
    assert resumed.info() == trainer.info()


def test_a_best_model_left_by_another_run_is_not_the_last_one(dump, tiny_config, tmp_path):
    (tmp_path / "best.pt").write_bytes(b"of another run")
    trainer_of(tiny_config(epochs=1, steps_per_epoch=2), dump, tmp_path).run()
    assert load_checkpoint(tmp_path / "final.pt")["step"] == 2


@pytest.mark.thorough
def test_accumulated_steps_are_the_same_steps(dump, tiny_config, tmp_path):
    whole = losses_of(tiny_config(lr=1e-2), dump, tmp_path / "a")
    parts = losses_of(tiny_config(lr=1e-2, accumulate=2), dump, tmp_path / "b")
    assert len(whole) == 12 and parts == pytest.approx(whole, abs=1e-5)


@pytest.mark.thorough
def test_the_loss_falls_by_a_fifth(dump, tiny_config, tmp_path):
    config = tiny_config(lr=1e-2, encoder_lr=3e-3, epochs=10, constant_epochs=10, mixup_probability=0.0)
    found = losses_of({**config, "consistency_weight": 0.1}, dump, tmp_path / "a")
    assert sum(found[-6:]) < 0.8 * sum(found[:6])


@pytest.mark.thorough
def test_without_consistency_the_teacher_is_not_evaluated_and_nothing_else_changes(dump, tiny_config, tmp_path):
    rows = rows_of(tiny_config(lr=1e-2, consistency_weight=0.0), dump, tmp_path / "a")
    weightless = tiny_config(lr=1e-2, frame_consistency_weight=0.0, clip_consistency_weight=0.0)
    asked = rows_of(weightless, dump, tmp_path / "b")
    assert LOGGED[:5] == ("loss", "strong", "weak", "frame_consistency", "clip_consistency")
    assert [row[:3] for row in rows] == [row[:3] for row in asked]
    assert all(row[3:5] == [0, 0] for row in rows) and any(row[3] > 0 for row in asked)
    teachers = [load_checkpoint(tmp_path / name / "final.pt")["teacher"] for name in "ab"]
    assert all(torch.equal(value, teachers[1][name]) for name, value in teachers[0].items())


def test_any_set_may_be_missing(dump, tiny_config, tmp_path):
    for names in (["strong_real"], ["weak", "nowhere"], ["strong_synth", "unlabelled"]):
        config = tiny_config(train_sets=names, batch_sizes=[2] * len(names), epochs=1, missing_sets="leave_out")
        trainer = trainer_of(config, dump, tmp_path / "-".join(names))
        trainer.run()
        assert (tmp_path / "-".join(names) / "final.pt").exists()
    with pytest.raises(UserError, match="none of the sets"):
        trainer_of(tiny_config(train_sets=["nowhere"], batch_sizes=[2]), dump, tmp_path / "x")


def test_a_non_finite_loss_stops_with_the_step_and_the_parts(dump, tiny_config, tmp_path):
    trainer = trainer_of(tiny_config(checkpoint_seconds=0.0), dump, tmp_path)
    take = trainer.take
    trainer.take = lambda step, inputs: take(step, inputs) * (torch.nan if step == 4 else 1)
    with pytest.raises(RunError, match=r"not finite at step 5: loss nan, strong nan.*step-00000004\.pt"):
        trainer.run()
    assert load_checkpoint(checkpoints(tmp_path / "checkpoints")[-1])["step"] == 4


def test_a_damaged_checkpoint_falls_back_to_the_one_before(dump, tiny_config, tmp_path):
    config = tiny_config(checkpoint_seconds=0.0)
    trainer_of(config, dump, tmp_path / "a").run()
    final = (tmp_path / "a" / "final.pt").read_bytes()
    found = checkpoints(tmp_path / "a" / "checkpoints")
    assert [p.name for p in found] == ["step-00000010.pt", "step-00000011.pt"]  # the last two
    found[1].write_bytes(found[1].read_bytes()[:5000])
    (tmp_path / "a" / "final.pt").unlink()
    trainer_of(config, dump, tmp_path / "a").run()
    assert (tmp_path / "a" / "final.pt").read_bytes() == final


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("options", "room", "advice"),
    [
        ([], 6, "--batch-sizes 2,2,4,4: 1,1,2,2 fits; --accumulate 2 takes the same step"),
        (["--batch-sizes", "4,4,4,4", "--accumulate", "2"], 4, "--accumulate 2: 2,2,2,2 fits; --accumulate 4 takes"),
        ([], 5, "2,2,4,4: --accumulate 4 takes the same step"),  # one strong clip per share, of two sets
        ([], 2, "no equal parts of the batches fit"),
    ],
)
def test_out_of_memory_says_which_batch_fits(dump, config_file, tmp_path, monkeypatch, capsys, options, room, advice):
    from sed.bin import train
    from sed.training.step import TrainingStep

    whole = TrainingStep.backward

    def small_gpu(self, inputs, share):
        if len(inputs.student_gain) > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(self, inputs, share)

    monkeypatch.setattr(TrainingStep, "backward", small_gpu)
    command = ["train", "--config", str(config_file), *options, str(dump), str(tmp_path / "exp")]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        train.main()
    assert ended.value.code == 1
    assert advice in capsys.readouterr().err.strip().splitlines()[-1]
    monkeypatch.setattr(TrainingStep, "backward", whole)
    for accumulate in re.findall(r"--accumulate (\d+) takes", advice):  # the advice is accepted, and trains
        monkeypatch.setattr(sys, "argv", [*command, "--accumulate", accumulate, "--force"])
        with pytest.raises(SystemExit) as ended:
            train.main()
        assert ended.value.code == 0 and (tmp_path / "exp/final.pt").exists()


def test_a_config_that_does_not_fit_is_refused_before_training(dump, tiny_config, tmp_path):
    def refused(match, **changes):
        with pytest.raises(UserError, match=match):
            trainer_of(tiny_config(**changes), dump, tmp_path / "x")

    for name in ("validation", "validation/", "./public_eval"):
        refused("test set", valid_set=name)
    refused("needs --valid-set", select="best")
    refused("one size per set", batch_sizes=[1, 2])
    refused("larger than the set, 25 clips", batch_sizes=[2, 2, 26, 2])
    refused("mel_bins is 16, not 32", mel_bins=32)
    refused("do not divide into 3", accumulate=3)
    refused("no events.tsv", valid_set="weak")
    assert not (tmp_path / "x" / "checkpoints").exists()


def test_the_command_trains_once_and_refuses_another_config(dump, config_file, tmp_path, monkeypatch, capsys):
    from sed.bin import train

    def command_ends(*options):
        args = ["train", "--config", str(config_file), *options, str(dump), str(tmp_path / "exp")]
        monkeypatch.setattr(sys, "argv", args)
        with pytest.raises(SystemExit) as ended:
            train.main()
        return ended.value.code, capsys.readouterr().err

    exp = tmp_path / "exp"
    assert command_ends()[0] == 0
    info = json.loads((exp / "info.json").read_text())
    assert info["step"] == 12 and info["parameters"] > 0 and "command" in info
    assert "epoch 2/2" in (exp / "train.log").read_text()
    stamp = (exp / "final.pt").stat().st_mtime_ns
    code, error = command_ends()
    assert code == 0 and "trained already" in error
    code, error = command_ends("--seed", "9")
    assert code == 2 and "has seed: 1, not 9" in error and len(error.splitlines()) == 1
    assert (exp / "final.pt").stat().st_mtime_ns == stamp


@pytest.mark.slow
def test_a_training_killed_at_random_instants_ends_bit_identical(dump, config_file, tmp_path):
    """Run the same command until it is done, with kill -9 at 20 random instants."""
    options = ["--epochs", "40", "--checkpoint-seconds", "0.2", "--valid-set", "synth_valid", "--select", "best"]
    options += ["--lr", "1e-2"]
    assert run(command(config_file, dump, tmp_path / "whole", *options)).returncode == 0
    final = (tmp_path / "whole" / "final.pt").read_bytes()
    log = (tmp_path / "whole" / "train.log").read_text()
    assert "epoch 40/40" in log
    rng = random.Random(0)
    kills = 0
    exp = tmp_path / "killed"
    while kills < 20:
        process = subprocess.Popen(
            command(config_file, dump, exp, *options), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        train_log = exp / "train.log"
        size = train_log.stat().st_size if train_log.exists() else 0
        deadline = time.monotonic() + 120  # wait until it trains, then some: an early kill tests nothing
        while time.monotonic() < deadline and process.poll() is None:
            if train_log.exists() and train_log.stat().st_size > size:
                break
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 1.2))
        process.kill()
        if process.wait() == -signal.SIGKILL:
            kills += 1
        if (exp / ".done").exists():  # finished before the kill: start over, but keep counting kills
            assert (exp / "final.pt").read_bytes() == final
            subprocess.run(["rm", "-r", str(exp)], check=True)
    assert run(command(config_file, dump, exp, *options)).returncode == 0
    assert (exp / "final.pt").read_bytes() == final


RANKS = """
import sys, json, torch
from pathlib import Path
sys.path.insert(0, sys.argv[4])
from tiny_training import Recorder, make_config
from sed.training.step import LOGGED
from sed.training import build
from sed.training.distributed import joined
torch.set_num_threads(1)
device = torch.device("cpu")
with joined(device) as world:
    config = make_config(epochs=1, steps_per_epoch=20, lr=1e-3, encoder_lr=1e-3)
    trainer = build.build_trainer(config, Path(sys.argv[1]), Path(sys.argv[2]), device=device, world=world)
    recorder = Recorder()
    trainer.open_logger = recorder.open
    trainer.run()
    assert bool(recorder.scalars_of) == world.first
    if world.first:
        Path(sys.argv[3]).write_text(json.dumps(recorder.rows(LOGGED)))
tasks = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]  # none where there is no /proc
assert not [name for name in tasks if "gloo" in name], "Gloo's threads outlive the group"
"""


@pytest.mark.thorough
def test_two_ranks_have_the_losses_of_one(dump, tiny_config, tmp_path):
    script = tmp_path / "ranks.py"
    script.write_text(RANKS)
    out = tmp_path / "two.json"
    # The launcher keeps its port open; a free port that is only looked up may be taken when the ranks start.
    launched = [sys.executable, "-m", "sed.bin.launch", "--standalone", "--nproc-per-node", "2", str(script)]
    args = [str(dump), str(tmp_path / "two"), str(out), str(ROOT / "tests/helpers")]
    process = subprocess.Popen(
        [*launched, *args],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    config = tiny_config(epochs=1, steps_per_epoch=20, lr=1e-3, encoder_lr=1e-3)
    one = torch.tensor(rows_of(config, dump, tmp_path / "one"))
    try:
        _, errors = process.communicate(timeout=600)  # on an idle machine 8 s
    finally:
        if process.returncode is None:  # no rank is left behind
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, errors[-2000:]
    two = torch.tensor(json.loads(out.read_text()))
    assert one.shape == (20, len(LOGGED))
    assert (one - two)[:, :-1].abs().max() < 1e-5  # the losses; the last is the gradients' norm
    assert torch.allclose(one, two, rtol=1e-3, atol=1e-5)
