from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sed.config import default_options
from sed.data.synthesis.signals import RATE
from sed.data.synthesis.sound_table import Kind, Sounds
from sed.errors import UserError
from sed.features.logmel import FrontEnd
from sed.training.pretraining.soundscape_inputs import KNOTS, Mixer, Scene, SoundscapeMaker

CPU = torch.device("cpu")


def tones(*hertz, seconds=1.0):
    time = np.arange(int(seconds * RATE)) / RATE
    waves = [np.sin(2 * np.pi * h * time).astype(np.float16) for h in hertz]
    length = np.array([len(w) for w in waves])
    kinds = [Kind(name=f"k{i}", role="foreground", texture=False, first=i, count=1) for i in range(len(waves))]
    return Sounds(
        wave=np.concatenate(waves),
        start=np.concatenate([[0], length.cumsum()[:-1]]),
        length=length,
        kinds=kinds,
        chance=np.ones(len(waves)),
    )


@pytest.fixture
def config():
    options = default_options("sed.features.logmel", "sed.models.detector", "sed.training.pretraining.pretraining")
    return {**options, "batch_size": 6, "mask_max_seconds": 0.0}


def scene(**changes):
    values = {
        "source": torch.tensor([0]),
        "limit": torch.tensor([RATE - 1]),
        "speed": torch.tensor([1.0], dtype=torch.float64),
        "place": torch.tensor([RATE // 2]),
        "length": torch.tensor([RATE]),
        "gain": torch.tensor([0.25]),
        "room": torch.zeros(1, 3, dtype=torch.int64),
        "wet": torch.zeros(1, 3, 1),
        "filter": torch.zeros(1, 3, KNOTS),
        "top": torch.full((1, 1), 1e6),
        "peak": torch.full((1, 1), 0.5),
    } | changes
    return Scene(**values, total=int(values["length"].sum()))


@pytest.fixture
def mixer():
    return Mixer(tones(440.0).wave, samples=2 * RATE, device=CPU, seed=0)


def test_a_dry_event_is_its_sound_at_its_place_and_peak(mixer):
    (clip,) = mixer(scene())
    inside = slice(RATE // 2 + 200, 3 * RATE // 2 - 200)  # without the fades of 80 samples
    expected = 0.5 * np.sin(2 * np.pi * 440 * (np.arange(2 * RATE) - RATE // 2) / RATE)
    assert np.abs(clip.numpy() - expected)[inside].max() < 2e-3
    assert clip[: RATE // 2].abs().max() < 1e-5 and clip[3 * RATE // 2 :].abs().max() < 1e-5


def test_speed_moves_the_pitch(mixer):
    (clip,) = mixer(scene(speed=torch.tensor([1.25], dtype=torch.float64), length=torch.tensor([RATE * 4 // 5])))
    spectrum = torch.fft.rfft(clip).abs()
    assert float(torch.fft.rfftfreq(2 * RATE, 1 / RATE)[spectrum.argmax()]) == pytest.approx(550, abs=1)


def test_a_filter_of_equal_gains_is_a_gain_and_a_room_rings_after(mixer):
    wet = torch.tensor([[[0.3], [0.0], [0.0]]])
    (clip,) = mixer(scene(wet=wet))
    tail = clip[3 * RATE // 2 + 100 : 3 * RATE // 2 + 1600]
    assert tail.abs().max() > 1e-3
    same = mixer(scene(filter=torch.full((1, 3, KNOTS), 7.0)))  # undone by the scaling to the peak
    assert torch.allclose(same, mixer(scene()), atol=1e-5)


def test_rendering_events_one_by_one_or_at_once_agrees(mixer):
    """A CPU renders one event at a time, a GPU all at once."""
    two = scene(
        **{
            "source": torch.tensor([0, 800]),
            "limit": torch.tensor([RATE - 1, RATE - 801]),
            "speed": torch.tensor([1.1, 0.8], dtype=torch.float64),
            "place": torch.tensor([100, 2 * RATE + 7]),
            "length": torch.tensor([9000, 12000]),
            "gain": torch.tensor([1.0, 0.3]),
        }
    )
    apart, together = torch.zeros(6 * RATE), torch.zeros(6 * RATE)
    for event, length in enumerate([9000, 12000]):
        mixer._play(apart, two, slice(event, event + 1), length)
    mixer._play(together, two, slice(None), 21000)
    assert torch.equal(apart, together)


def test_targets_are_active_where_a_sound_is_and_nowhere_else(config):
    """Mix three tones without background: a band is loud only while its target is active, and not silent then."""
    config.update(snr_min=20.0, snr_max=20.0, filter_db=0.0, wet_max=0.0, speed_octaves=0.0, filter_augment="none")
    sounds = tones(300.0, 1000.0, 3000.0, seconds=1.3)
    front_end = FrontEnd.from_config(config)
    maker = SoundscapeMaker(sounds, front_end, config=config, frames=100, frame_seconds=0.1, device=CPU)
    bins = [int(front_end.bank[round(h / RATE * front_end.fft_size)].argmax()) for h in (300, 1000, 3000)]
    wrong = active = inside = silent = 0
    for step in range(4):
        inputs = maker.fetched(maker.make(step))
        most = inputs.features.amax((1, 2), keepdim=True)
        bands = inputs.features[:, :, bins]
        loud = (bands > most - 6) & (most > -10)  # log power, 6: 26 dB; a clip may have no event
        targets = inputs.strong_targets.repeat_interleave(10, 1)[:, :998].bool()
        near_active, near_inactive = (_widened(mask) for mask in (targets, ~targets))
        wrong += int((loud & ~near_active).sum())
        silent += int(((bands < most - 12) & ~near_inactive).sum())  # 12: 52 dB, more than levels differ
        active += int(targets.sum())
        inside += int((~near_inactive).sum())
    assert active > 1000 and wrong < 0.01 * active
    assert inside > 1000 and silent < 0.01 * inside  # gaps of less than a label frame are active


def _widened(mask):
    """Return where a mask (clips, frames, classes) is set within 0.15 s, 15 frames of features."""
    return F.max_pool1d(mask.float().transpose(1, 2), 31, 1, 15).transpose(1, 2).bool()


@pytest.mark.thorough
def test_inputs_are_a_function_of_seed_and_step(config):
    sounds = tones(300.0, 1000.0)
    front_end = FrontEnd.from_config(config)
    makers = [
        SoundscapeMaker(sounds, front_end, config=config | {"seed": seed}, frames=100, frame_seconds=0.1, device=CPU)
        for seed in (1, 1, 2)
    ]
    makers[0].make(0)
    one, same, other = (maker.fetched(maker.make(3)).features for maker in makers)
    assert torch.equal(one, same) and not torch.equal(one, other)


@pytest.mark.thorough
@pytest.mark.parametrize("mixup", [0.0, 1.0])
def test_shares_are_parts_of_the_batch(config, mixup):
    """Each share has the clips, targets and draws of its part of the batch, and the partners that it mixes with."""
    config.update(mixup_probability=mixup, shift_seconds=0.5, mask_max_seconds=1.0)
    front_end = FrontEnd.from_config(config)
    options = {"config": config, "frames": 100, "frame_seconds": 0.1, "device": CPU}
    whole, part = (SoundscapeMaker(tones(300.0, 1000.0, 3000.0), front_end, **options, shares=n) for n in (1, 3))
    batch = whole.fetched(whole.make(2))
    for share in range(3):
        own = slice(2 * share, 2 * share + 2)
        inputs = part.fetched(part.make(2, share))
        assert len(inputs.valid) == (4 if mixup else 2) and torch.equal(inputs.strong_mix, batch.strong_mix[own])
        assert torch.equal(inputs.student_gain, batch.student_gain[own])
        partners = batch.strong_partner[own] if mixup else torch.arange(0)
        slots = torch.cat([torch.arange(6)[own], partners])
        assert torch.equal(inputs.strong_targets, batch.strong_targets[slots])
        assert torch.equal(inputs.shift, batch.shift[slots]) and torch.equal(inputs.mask_start, batch.mask_start[slots])
        assert torch.allclose(inputs.features, batch.features[slots], atol=1e-3)  # dB
        assert inputs.strong_partner.tolist() == ([2, 3] if mixup else [0, 1])
    assert batch.strong_targets.any() and not torch.allclose(batch.features[0], batch.features[1], atol=1.0)
    with pytest.raises(UserError, match="6 clips per batch do not divide into 4 equal shares"):
        SoundscapeMaker(tones(300.0), front_end, **options, shares=4)


def test_another_rate_and_levels_out_of_order_are_refused(config):
    front_end = FrontEnd.from_config(config | {"sample_rate": 32000, "f_max": 8000.0})
    with pytest.raises(UserError, match="16000"):
        SoundscapeMaker(tones(300.0), front_end, config=config, frames=100, frame_seconds=0.1, device=CPU)
    config["snr_min"] = 33.0
    with pytest.raises(UserError, match=r"snr_min 33\.0 is above snr_max 32\.0"):
        SoundscapeMaker(tones(300.0), FrontEnd(), config=config, frames=100, frame_seconds=0.1, device=CPU)


def test_clips_longer_than_a_background_at_the_highest_speed_are_refused(config):
    # The highest speed is not `speed_octaves`, a standard deviation, but what draws are cut to: 0.45 octaves, at which
    # 14 s last 10.2 s. If `speed_octaves` is 0, all are played at their own speed.
    sounds = tones(300.0, 1000.0, seconds=14.0)
    sounds.kinds[1] = replace(sounds.kinds[1], role="background")
    for seconds, speed_octaves, fits in ((10.0, 0.2, True), (12.0, 0.2, False), (12.0, 0.0, True), (20.0, 0.0, False)):
        changed = config | {"clip_seconds": seconds, "speed_octaves": speed_octaves}
        with nullcontext() if fits else pytest.raises(UserError, match=f"clip_seconds {seconds:g}: backgrounds"):
            SoundscapeMaker(
                sounds, FrontEnd.from_config(changed), config=changed, frames=100, frame_seconds=0.1, device=CPU
            )
