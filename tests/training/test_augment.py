import math

import numpy as np
import pytest
import torch
from scipy.stats import beta, kstest

from sed.config import default_options
from sed.errors import UserError
from sed.features.logmel import FrontEnd
from sed.training import augment
from sed.training.augment import AugmentOptions

SIZES = {"strong": 6, "weak": 4, "unlabelled": 3}


def draws(seed=0, options=None, frames=100, bins=32, **changes):
    return augment.draw(
        np.random.default_rng(seed),
        options or AugmentOptions(**changes),
        **SIZES,
        frames=frames,
        frame_seconds=0.1,
        bins=bins,
    )


def many(**changes):
    return [draws(seed, **changes) for seed in range(300)]


def test_draws_are_in_the_default_ranges():
    found = many()
    shift = np.concatenate([d.shift for d in found]) * 0.1
    assert abs(shift.std() - 1.44) < 0.1 and abs(shift.mean()) < 0.1  # `shift_seconds`, the standard deviation
    width = np.concatenate([d.mask_width[:6] for d in found]) * 0.1
    assert width.min() >= 0.5 and width.max() < 2.0 and abs(width.mean() - 1.2) < 0.05  # 5 to 19 frames
    assert all((d.mask_width[6:] == 0).all() for d in found)  # strong clips alone
    ends = np.concatenate([(d.mask_start + d.mask_width)[:6] for d in found])
    assert ends.max() == 100 and min(d.mask_start[:6].min() for d in found) == 0  # from edge to edge of the clip
    gains = np.stack([d.student_gain for d in found])
    assert gains.min() >= -4.5 and gains.max() <= 6
    assert not np.allclose(found[0].student_gain, found[0].teacher_gain)


def test_the_options_are_those_of_the_command_with_the_same_defaults():
    assert vars(AugmentOptions()) == default_options("sed.training.augment")


def test_a_lower_limit_above_the_upper_one_is_refused():
    defaults = vars(AugmentOptions())
    for name, value in {"mask_max_seconds": 0.2, "filter_min_bands": 6, "filter_min_db": 7.0}.items():
        with pytest.raises(UserError, match=rf"{name} {value}|above {name} {value}"):
            AugmentOptions.from_config({**defaults, name: value})
    assert AugmentOptions.from_config({**defaults, "mask_max_seconds": 0.0}).mask_max_seconds == 0  # no masks


def test_every_strong_and_weak_clip_is_mixed_by_a_weight_of_beta():
    found = many()
    mix = np.concatenate([d.mix[:10] for d in found])
    assert kstest(mix, beta(0.2, 0.2).cdf).pvalue > 0.01
    assert all((d.mix[10:] == 1).all() for d in found)  # unlabelled clips stay as they are
    for d in found:  # strong with strong, weak with weak
        assert sorted(d.partner[:6]) == list(range(6)) and sorted(d.partner[6:10]) == list(range(6, 10))
    half = np.concatenate([d.mix[:10] for d in many(mixup_probability=0.5)])
    unmixed = 0.5 + 0.5 * np.mean(mix == 1)  # float32 rounds some of the weights to 1
    assert abs((half == 1).mean() - unmixed) < 0.03
    assert all((d.mix == 1).all() for d in many(mixup_probability=0.0))


@pytest.mark.parametrize("bins", [8, 32, 128])
def test_step_filters_have_two_to_four_bands_of_at_least_four_bins_if_there_are_enough(bins):
    counts = set()
    for seed in range(200):
        gains = augment.filter_gains(np.random.default_rng(seed), AugmentOptions(), clips=4, bins=bins)
        for row in gains:
            edges = [0, *(np.flatnonzero(np.diff(row)) + 1), bins]
            counts.add(len(edges) - 1)
            assert min(np.diff(edges)) >= min(4, bins // (len(edges) - 1))
    assert counts == {2, 3, 4}


def test_linear_filters_run_between_the_gains_at_the_edges():
    options = AugmentOptions(filter_augment="linear", filter_min_bands=2, filter_max_bands=2)
    for seed in range(50):
        row = augment.filter_gains(np.random.default_rng(seed), options, clips=1, bins=32)[0].astype(np.float64)
        bends = np.flatnonzero(np.abs(np.diff(row, 2)) > 1e-4)
        assert len(bends) <= 1  # two straight lines
        assert (np.diff(row[:5]) != 0).all() and (np.diff(row[-4:]) != 0).all()  # that rise or fall from end to end
    flat = AugmentOptions(filter_augment="none")
    assert not augment.filter_gains(np.random.default_rng(0), flat, clips=2, bins=8).any()


def test_roll_equals_numpy_s_within_the_clip():
    x = torch.randn(3, 10, 4)
    rolled = augment.roll(x, torch.tensor([3, -4, 25]), torch.tensor([10, 7, 10]))
    for i, (shift, period) in enumerate([(3, 10), (-4, 7), (25, 10)]):
        expected = x[i].clone().numpy()
        expected[:period] = np.roll(expected[:period], shift, axis=0)
        assert np.array_equal(rolled[i].numpy(), expected)


@pytest.mark.parametrize("kind", ["kaldi", "stft"])
def test_mixing_adds_amplitudes(kind):
    decibel = FrontEnd(front_end=kind).decibel
    rng = np.random.default_rng(0)
    amplitude = rng.uniform(0.01, 1, (2, 5, 3))
    x = torch.tensor(20 * np.log10(amplitude) * decibel).float()
    valid, weight = torch.tensor([5, 3]), torch.tensor([0.3, 1.0])
    mixed, longer = augment.mix_features(x, valid, torch.tensor([1, 0]), weight, decibel=decibel, floor=-99)
    audible = amplitude.copy()
    audible[1, 3:] = 0
    expected = 20 * np.log10(0.3 * audible[0] + 0.7 * audible[1]) * decibel
    assert np.allclose(mixed[0], expected, atol=1e-4)
    assert torch.allclose(mixed[1, :3], x[1, :3], atol=1e-5) and not mixed[1, 3:].any()  # weight 1: as it was
    assert longer.tolist() == [5, 3]


@pytest.mark.parametrize("kind", ["kaldi", "stft"])
def test_a_mixture_is_never_quieter_than_silence(kind):
    """Mixed waveforms give the same features, because the front end's logarithm has a floor."""
    front_end = FrontEnd(front_end=kind)
    silence = torch.full((2, 4, 3), front_end.silence)
    weight, valid = torch.tensor([0.5, 0.001]), torch.tensor([4, 2])
    units = {"decibel": front_end.decibel, "floor": front_end.silence}
    mixed, longer = augment.mix_features(silence, valid, torch.tensor([1, 0]), weight, **units)
    assert longer.tolist() == [4, 4]
    # halves of silence, and a thousandth of it where the partner is over: 6 and 60 dB lower without a floor
    torch.testing.assert_close(mixed, torch.full_like(mixed, front_end.silence), rtol=0, atol=1e-4)
    loud = silence.clone()
    loud[0] += 60 * front_end.decibel
    mixed, _ = augment.mix_features(loud, valid, torch.tensor([1, 0]), weight, **units)
    expected = front_end.silence + 20 * math.log10(0.5 * 1e3 + 0.5) * front_end.decibel
    assert torch.allclose(mixed[0, :2], torch.tensor(expected), atol=1e-3)


def test_mixed_labels_soft_and_hard():
    y = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    partner, weight = torch.tensor([1, 0]), torch.tensor([0.3, 1.0])
    assert torch.allclose(augment.mix_labels(y, partner, weight, "soft"), torch.tensor([[0.3, 0.7], [0.0, 1.0]]))
    assert torch.equal(augment.mix_labels(y, partner, weight, "hard"), torch.tensor([[1.0, 1.0], [0.0, 1.0]]))


def test_time_mask_sets_just_its_frames():
    x = torch.ones(2, 8, 3)
    masked = augment.time_mask(x, torch.tensor([2, 0]), torch.tensor([3, 0]), -9.0)
    assert masked[0, :, 0].tolist() == [1, 1, -9, -9, -9, 1, 1, 1] and masked[1].eq(1).all()


def test_twice_the_power_is_3_decibels_in_either_front_end_s_units():
    assert math.isclose(math.log(2) / FrontEnd(front_end="kaldi").decibel, 10 * math.log10(2))
    assert FrontEnd(front_end="stft").decibel == 1


def test_unknown_targets_stay_with_the_clips_that_are_mixed_with_them() -> None:
    y = augment.as_known(torch.tensor([[[0], [1]], [[2], [1]]], dtype=torch.uint8))
    assert y.isnan().tolist() == [[[False], [False]], [[True], [False]]]
    partner, weight = torch.tensor([1, 0]), torch.tensor([1.0, 0.75])
    for kind in ("soft", "hard"):
        mixed = augment.mix_labels(y, partner, weight, kind)
        assert torch.equal(mixed[0], y[0]), "not mixed, so nothing of its partner"
        assert mixed[1, 0].isnan() and mixed[1, 1] == 1


def test_masks_that_are_longer_than_the_clip_mask_all_of_it() -> None:
    found = draws(mask_min_seconds=15.0, mask_max_seconds=20.0)
    assert (found.mask_width[:6] == 100).all() and (found.mask_start[:6] == 0).all()
