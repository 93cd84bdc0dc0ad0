import numpy as np
import pytest

from sed.data.synthesis.signals import (
    BINS,
    RATE,
    band,
    level,
    loop,
    noise,
    partials,
    pulses,
    reverberate,
    room,
    scatter,
    shape,
)


def spectrum(sound):
    return np.abs(np.fft.rfft(sound * np.hanning(len(sound)))), np.fft.rfftfreq(len(sound), 1 / RATE)


def test_shape_with_flat_gains_gives_the_sound_back():
    sound = noise(np.random.default_rng(0), 12345).astype(np.float64)
    np.testing.assert_allclose(shape(sound, np.ones((1, len(BINS)))), sound, atol=1e-5)
    np.testing.assert_allclose(shape(sound, np.ones((7, len(BINS)))), sound, atol=1e-5)


def test_shape_moves_a_band():
    sound = noise(np.random.default_rng(0), RATE)
    moved = shape(sound, np.concatenate([band(500, 700, slope=60), band(4000, 5000, slope=60)]))
    for part, low, high in ((moved[:3000], 400, 900), (moved[-3000:], 3000, 6000)):
        power, hertz = spectrum(part)
        inside = (hertz > low) & (hertz < high)
        assert (power[inside] ** 2).sum() > 0.8 * (power**2).sum()


def test_pulses_and_partials_stay_within_the_band_at_their_pitch():
    power, hertz = spectrum(pulses(np.full(RATE, 200.0)))
    assert abs(hertz[power > 0.5 * power.max()] % 200 - 100).min() > 95  # harmonics of 200 Hz, nothing between
    assert hertz[power > 0.5 * power.max()].max() <= 7602  # the highest harmonic, and the window's main lobe
    power, hertz = spectrum(partials(np.full(RATE, 3000.0), [1, 2, 3], [1, 1, 1]))
    assert sorted(set(np.round(hertz[power > 0.9 * power.max()], -2))) == [3000, 6000]  # 9 kHz is left out


def test_loop_is_seamless_in_level():
    sound = noise(np.random.default_rng(1), 20000)
    looped = loop(sound, 100001)
    assert len(looped) == 100001
    levels = looped[:100000].reshape(-1, 1000).std(axis=1)
    assert levels.min() > 0.8 and levels.max() < 1.2
    assert (loop(sound, 100) == sound[:100]).all()
    assert len(loop(sound[:1], 100)) == len(loop(sound[:2], 100)) == 100


def test_level_is_of_the_loudest_tenth_of_a_second():
    sound = np.zeros(16000)
    sound[8000:9600] = 0.25
    assert level(sound)[8000:9600] == pytest.approx(1.0, abs=0.01)
    assert not level(np.zeros(100)).any()


def test_a_room_keeps_the_direct_sound_in_time_and_adds_the_energy_asked_for():
    rng = np.random.default_rng(0)
    response = room(rng, 0.5, wet=0.3)
    assert response[0] == 1 and np.sum(response[1:] ** 2) == pytest.approx(0.3, rel=0.05)
    dry = np.zeros(16000)
    dry[4000] = 1
    wet = reverberate(dry, response)
    assert len(wet) == 16000 and np.abs(wet[:4000]).max() < 1e-6 and np.argmax(np.abs(wet)) == 4000


def test_pieces_are_added_up_to_the_end_and_none_behind_it():
    out = scatter(np.zeros(6), [np.ones(3), np.full(3, 2.0), np.ones(5)], [1, 4, 8])
    np.testing.assert_array_equal(out, [0, 1, 1, 1, 2, 2])
