import math
import subprocess

import numpy as np
import pytest

from sed.errors import UserError
from sed.training.schedule import Schedule, scale_steps


def paper(**changes):
    """Return AST-SED's schedule on all of DESED, ten epochs of 394 steps, with changes."""
    return Schedule(**{"epochs": 10, "steps_per_epoch": 394, **changes})


def test_five_constant_epochs_then_exponential_to_the_final_factor():
    plan = paper()
    assert [plan.lr_factor(s) for s in (0, 394, 5 * 394)] == [1, 1, 1]
    assert plan.lr_factor(plan.steps - 1) == pytest.approx(0.01)
    decay = [plan.lr_factor(s + 1) / plan.lr_factor(s) for s in range(5 * 394 + 1, plan.steps - 1)]
    assert max(decay) - min(decay) < 1e-9 and max(decay) < 1  # the same factor each step: exponential


def test_the_laboratory_s_decay_is_the_exponential_of_a_square():
    """Source L of egs/desed/README.md: code of the laboratory that published AST-SED."""
    plan = paper(decay="squared", final_lr_factor=math.exp(-5))
    start, last = 5 * 394, 10 * 394 - 1
    assert [plan.lr_factor(s) for s in (0, start)] == [1, 1]
    for step in (start + 1, start + 700, last - 1, last):
        phase = (step - start) / (last - start)
        assert plan.lr_factor(step) == pytest.approx(math.exp(-5 * phase * phase), rel=1e-12)
    assert plan.lr_factor(start + 300) > paper(final_lr_factor=math.exp(-5)).lr_factor(start + 300)


def test_the_baseline_s_warm_up_is_the_consistency_s_ramp():
    plan = Schedule(epochs=200, steps_per_epoch=118, warmup="exp", ramp_epochs=50, constant_epochs=200)
    for step in (0, 118, 2000, 5899):  # DESED_task: exp(-5 (1 - step / 5900)^2)
        assert plan.lr_factor(step) == pytest.approx(np.exp(-5 * (1 - step / (50 * 118)) ** 2), rel=1e-12)
    assert {plan.lr_factor(step) for step in range(5900, plan.steps, 500)} == {1.0}
    assert plan.lr_factor(0) == pytest.approx(0.0067379, rel=1e-4)
    frozen = paper(warmup="exp", ramp_epochs=1, frozen_epochs=2)
    assert {frozen.encoder_factor(s) for s in range(788)} == {0.0}
    assert frozen.encoder_factor(788) == pytest.approx(math.exp(-5)) and frozen.encoder_factor(788 + 394) == 1


def test_warm_up_rises_linearly():
    plan = paper(warmup_steps=4)
    assert [plan.lr_factor(s) for s in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1])


def test_a_warm_up_that_outlasts_the_constant_rate_multiplies_its_decay():
    plan = paper(warmup_steps=999, constant_epochs=0)
    assert plan.lr_factor(499) == pytest.approx(0.5 * 0.01 ** (499 / (plan.steps - 1)))


def test_a_frozen_encoder_starts_late_and_warms_up_from_there():
    plan = paper(warmup_steps=3, frozen_epochs=1)
    assert {plan.encoder_factor(s) for s in range(394)} == {0.0}
    assert [plan.encoder_factor(394 + s) for s in range(4)] == pytest.approx([0.25, 0.5, 0.75, 1])
    share = Schedule(epochs=1, steps_per_epoch=100, frozen_epochs=0.29)  # 0.29 x 100 is 28.999999999999996
    assert share.encoder_factor(28) == 0 < share.encoder_factor(29)
    never = paper(warmup_steps=3)
    assert [never.encoder_factor(s) for s in (0, 2, 3000)] == [never.lr_factor(s) for s in (0, 2, 3000)]


def test_ramp_is_exp_of_minus_5_times_the_square_of_the_rest():
    plan = paper(ramp_epochs=5)
    assert plan.ramp(0) == pytest.approx(math.exp(-5))
    assert plan.ramp(985) == pytest.approx(math.exp(-5 * 0.25))
    assert plan.ramp(1970) == plan.ramp(3000) == 1
    assert paper(ramp_epochs=0).ramp(0) == 1


def test_teacher_copies_first_then_averages_up_to_the_largest_decay():
    plan = paper()
    assert plan.teacher_decay(0) == 0  # after the first step the teacher is the student
    assert plan.teacher_decay(3) == 0.75
    assert plan.teacher_decay(5000) == 0.999


@pytest.mark.parametrize(
    "steps, decay, slow, share", [(980, 0.999, True, 0.5), (3940, 0.999, True, 0.14), (980, 0.994, False, 0.05)]
)
def test_weight_of_the_first_half_of_a_short_training_in_the_teacher(steps, decay, slow, share):
    plan = Schedule(epochs=1, steps_per_epoch=steps, ema_decay=decay)
    assert plan.teacher_is_slow is slow
    early = late = 0.0  # weights of the students of both halves, averaged one by one
    for step in range(steps):
        kept = min(1 - 1 / (step + 1), decay)
        early, late = kept * early, kept * late
        if step < steps // 2:
            early += 1 - kept
        else:
            late += 1 - kept
    assert early + late == pytest.approx(1)
    assert plan.first_half_share == pytest.approx(early) == pytest.approx(share, abs=0.01)


def test_a_teacher_is_slow_if_its_time_constant_exceeds_a_fifth_of_the_training() -> None:
    assert Schedule(epochs=1, steps_per_epoch=499, ema_decay=0.99).teacher_is_slow  # 100 steps
    assert not Schedule(epochs=1, steps_per_epoch=501, ema_decay=0.99).teacher_is_slow


@pytest.mark.parametrize("factor", [0.1, 0.125, 0.333, 0.004, 1.0, 2.5])
def test_scaled_steps_are_rounded_as_awk_rounds_them(factor):
    """local/real_sounds.sh scales the numbers of clips by the same factor, --scale, with this awk expression."""
    steps = (100, 50, 560, 300, 1, 7)
    program = (
        'BEGIN { split(steps, n, " "); for (i = 1; i <= 6; i++) { k = int(n[i] * x + 0.5); print k < 1 ? 1 : k } }'
    )
    done = subprocess.run(
        ["awk", "-v", f"x={factor}", "-v", f"steps={' '.join(map(str, steps))}", program],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    ours = [scale_steps({"steps_per_epoch": n, "warmup_steps": 0, "lr": 1.0}, factor) for n in steps]
    assert [config["steps_per_epoch"] for config in ours] == [int(line) for line in done.stdout.split()]
    assert all(config["warmup_steps"] == 0 and config["lr"] == 1.0 for config in ours)
    assert scale_steps({"steps_per_epoch": 1, "warmup_steps": 200}, 0.5)["warmup_steps"] == 100


def test_an_epoch_that_the_sets_define_cannot_be_scaled() -> None:
    config = {"steps_per_epoch": 0, "warmup_steps": 100}
    assert scale_steps(config, 1.0) == config
    with pytest.raises(UserError, match="nothing to scale"):
        scale_steps(config, 0.1)
