"""DESED's ten labels as families of synthetic sounds.

Each family is a function `(rng) -> Voice`. It draws the parameters of a source (one speaker, dog or vacuum cleaner);
the voice that it returns renders the source's events and draws the variation between them. Only beeps, sirens and
telephones do not vary, except in length. The ranges of the parameters are plausible values, not measured on recordings.
Pitches, centres, widths and edges of bands are in Hz, rates per second, durations and decays in seconds; a decay within
`np.exp(-np.arange(n) / d)` is in samples. Gains are relative to each other: `signals.level` scales every event.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from sed.data.synthesis.signals import (
    BINS,
    RATE,
    Voice,
    band,
    edges,
    formants,
    lerp,
    noise,
    partials,
    pulses,
    samples,
    scatter,
    shape,
    wander,
)

Generator = np.random.Generator


def alarm_bell_ringing(source: Generator) -> Voice:
    """Make repeated beeps, a struck bell, a two-tone siren or a warbling telephone."""
    kind = source.choice(["beep", "bell", "siren", "phone"], p=[0.4, 0.25, 0.15, 0.2])
    pitch = float(np.exp(source.uniform(np.log(650), np.log(3000))))
    gains = source.uniform(0.1, 1.0, 5) * 0.6 ** np.arange(5)
    on, off = source.uniform(0.06, 0.3), source.uniform(0.05, 0.25)  # seconds of a beep and of the silence after it
    group, pause = int(source.integers(2, 6)), source.uniform(0, 0.4)  # beeps per group, seconds between groups
    ratios = np.sort(source.uniform(1.0, 4.5, 6))  # of the bell's inharmonic partials
    second, rate = source.uniform(1.15, 1.6), source.uniform(9, 24)  # second tone's ratio; strikes or swings per second

    def beep(_: Generator, seconds: float) -> np.ndarray:
        length = samples(seconds)
        time = np.arange(length) / RATE
        period = on + off
        cycle = time % (group * period + pause)
        gate = ((cycle < group * period) & (cycle % period < on)).astype(float)
        gate = np.convolve(gate, np.hanning(64) / np.hanning(64).sum(), mode="same")
        return partials(np.full(length, pitch), range(1, 6), gains) * gate

    def bell(rng: Generator, seconds: float) -> np.ndarray:
        length = samples(seconds)
        ring = samples(0.35)
        strike = partials(np.full(ring, pitch * 0.7), ratios, rng.uniform(0.3, 1, 6)) * np.exp(-np.arange(ring) / 1400)
        starts = np.arange(0, length, samples(1 / rate))
        return scatter(np.zeros(length), [strike * rng.uniform(0.8, 1.2) for _ in starts], starts)

    def siren(_: Generator, seconds: float) -> np.ndarray:
        length = samples(seconds)
        time = np.arange(length) / RATE
        swing = 0.5 + 0.5 * np.tanh(6 * np.sin(2 * np.pi * rate / 12 * time))  # 12 times slower than a phone
        return partials(0.6 * pitch * second**swing, range(1, 6), gains)

    def phone(_: Generator, seconds: float) -> np.ndarray:
        length = samples(seconds)
        time = np.arange(length) / RATE
        square = np.sign(np.sin(2 * np.pi * rate * time))
        tone = partials(0.7 * pitch * np.where(square > 0, second, 1.0), range(1, 6), gains)
        return tone * (0.25 + 0.75 * ((time % (1.2 + pause)) < 0.9 + pause))  # quieter for 0.3 s after each ring

    voice = {"beep": beep, "bell": bell, "siren": siren, "phone": phone}[str(kind)]
    return lambda rng, seconds: edges(voice(rng, seconds), 0.005, 0.02)


def blender(source: Generator) -> Voice:
    """Make a motor in roaring noise; its speed rises at the start, varies with the load, and falls at the end."""
    pitch, rough = source.uniform(110, 320), source.uniform(0.4, 1.2)
    centre, width = source.uniform(900, 3500), source.uniform(500, 1500)

    def voice(rng: Generator, seconds: float) -> np.ndarray:
        length = samples(seconds)
        speed = wander(rng, length, spread=0.09, per_second=3)  # under a load the motor is slower, and louder
        spin = np.minimum(1, 0.35 + np.arange(length) / RATE / rng.uniform(0.15, 0.5))
        spin *= np.minimum(1, 0.4 + np.arange(length)[::-1] / RATE / 0.25)
        curve = formants(np.array([[centre, 2.3 * centre]]), [width, 1.5 * width], [1.0, 0.5])
        motor = pulses(pitch * speed * spin, tilt=0.5)
        roar = shape(noise(rng, length), band(500, 5000)) * rough
        chunks = wander(rng, length, spread=0.35, per_second=14)
        return edges(shape(motor * 2 + roar * chunks, curve) * speed**-2, 0.05, 0.08)

    return voice


def cat(source: Generator) -> Voice:
    """Make meows: pitch rises and falls while the mouth opens and closes; long events are several meows."""
    pitch, formant_scale = source.uniform(380, 800), source.uniform(0.85, 1.25)
    rise, breath = source.uniform(1.1, 1.6), source.uniform(0.02, 0.12)

    def meow(rng: Generator, seconds: float) -> np.ndarray:
        length = samples(seconds)
        start, end = rng.uniform(0.75, 0.95), rng.uniform(0.6, 0.9)
        contour = pitch * rng.uniform(0.85, 1.2) * lerp(length, [start, rise, rise * 0.97, end * rise * 0.8])
        mouth = np.array([[450, 2300], [950, 1750], [900, 1400], [500, 1000]]) * formant_scale * rng.uniform(0.92, 1.08)
        curve = formants(mouth, [160, 260], [1.0, 0.7])
        tone = shape(pulses(contour * wander(rng, length, spread=0.012, per_second=12), tilt=0.3), curve)
        air = shape(noise(rng, length), curve) * breath
        return (tone + air) * lerp(length, [0.2, 1, 0.9, 0.1])

    return lambda rng, seconds: _series(rng, seconds, meow, call_seconds=(0.45, 1.3), gap_seconds=(0.03, 0.18))


def dishes(source: Generator) -> Voice:
    """Make clinks of china, glass and cutlery: a click and a few inharmonic modes with fast decay."""
    low = source.uniform(900, 2600)
    ratios = np.concatenate([[1.0], 1 + np.cumsum(source.uniform(0.15, 0.75, 6))])
    decay = source.uniform(0.015, 0.09)

    def clink(rng: Generator) -> np.ndarray:
        length = samples(0.3)
        time = np.arange(length) / RATE
        base = low * rng.uniform(0.8, 1.35)
        out = np.zeros(length)
        for ratio in ratios:
            if base * ratio < 7700:  # half the sampling rate is 8000
                fade = np.exp(-time / (decay * rng.uniform(0.5, 1.3) / ratio**0.5))
                out += rng.uniform(0.2, 1) * np.sin(2 * np.pi * base * ratio * time) * fade
        click = noise(rng, samples(0.008)) * np.linspace(1, 0, samples(0.008)) ** 2
        return scatter(out, [click * rng.uniform(0.5, 2)], [0])

    def voice(rng: Generator, seconds: float) -> np.ndarray:
        length = samples(seconds)
        count = 1 + int(rng.poisson(seconds * 6))
        starts = np.sort(rng.integers(0, max(1, length - samples(0.12)), count))
        starts[0] = 0
        pieces = [clink(rng) * rng.uniform(0.3, 1) for _ in starts]
        return edges(scatter(np.zeros(length), pieces, starts), 0, 0.03)

    return voice


def dog(source: Generator) -> Voice:
    """Make barks: short, rough bursts of falling pitch through a vocal tract; long events are several barks."""
    pitch, formant_scale = np.exp(source.uniform(np.log(180), np.log(600))), source.uniform(0.75, 1.35)
    rough, gap = source.uniform(0.2, 0.7), source.uniform(0.06, 0.22)

    def bark(rng: Generator, seconds: float) -> np.ndarray:
        length = samples(seconds)
        contour = pitch * rng.uniform(0.9, 1.15) * lerp(length, [0.9, 1.25, 1.0, 0.6])
        throat = np.array([[500, 1200, 2600], [850, 1500, 3000], [550, 1100, 2500]]) * formant_scale
        curve = formants(throat, [150, 220, 350], [1.0, 0.8, 0.35])
        jitter = wander(rng, length, spread=0.06, per_second=90)
        raw = pulses(contour * jitter, tilt=0.2) + rough * noise(rng, length)
        return shape(raw, curve) * lerp(length, [0.5, 1, 0.8, 0.35, 0.05])

    return lambda rng, seconds: _series(rng, seconds, bark, call_seconds=(0.12, 0.3), gap_seconds=(gap, gap * 1.4))


def electric_shaver_toothbrush(source: Generator) -> Voice:
    """Make a bright buzz of steady pitch with all its harmonics, slowly modulated as by strokes."""
    pitch, stroke = source.uniform(70, 135), source.uniform(0.8, 3.0)
    centre, width = source.uniform(2200, 5500), source.uniform(500, 1300)
    hum = source.uniform(0.1, 0.6)

    def voice(rng: Generator, seconds: float) -> np.ndarray:
        length = samples(seconds)
        steady = pitch * wander(rng, length, spread=0.008, per_second=4)
        buzz = pulses(steady) + hum * partials(2 * steady, [1, 2], [1, 0.5])
        steps = max(2, int(seconds * stroke * 2))
        moves = centre * np.exp(rng.normal(0, 0.16, steps))
        curve = formants(np.stack([moves, moves / 2.4], axis=1), [width, width], [1.0, 0.35]) + 0.05
        return edges(shape(buzz, curve) * wander(rng, length, spread=0.2, per_second=2 * stroke), 0.03, 0.04)

    return voice


def frying(source: Generator) -> Voice:
    """Make hiss with crackles: dense, bright clicks over steady high-frequency noise."""
    low, rate, hiss = source.uniform(2200, 4500), source.uniform(40, 160), source.uniform(0.15, 0.5)

    def voice(rng: Generator, seconds: float) -> np.ndarray:
        length = samples(seconds)
        count = max(4, int(rng.poisson(rate * seconds)))
        size = samples(0.006)
        time = np.arange(size) / RATE
        pitches = rng.uniform(1800, 7500, (count, 1))
        decays = rng.uniform(0.0003, 0.0018, (count, 1))
        grains = rng.lognormal(0, 0.9, (count, 1)) * np.sin(2 * np.pi * pitches * time) * np.exp(-time / decays)
        crackle = scatter(np.zeros(length), grains, rng.integers(0, length, count))
        sizzle = shape(noise(rng, length), band(low, 7500, slope=9)) * wander(rng, length, spread=0.2, per_second=3)
        return edges(crackle + sizzle * hiss, 0.08, 0.1)

    return voice


def running_water(source: Generator) -> Voice:
    """Make gurgling water: bubbles, each a short rising tone, over coloured noise."""
    low, high = source.uniform(250, 700), source.uniform(2000, 5000)
    rate, pitch, wet = source.uniform(25, 90), source.uniform(600, 1500), source.uniform(0.3, 1.0)

    def voice(rng: Generator, seconds: float) -> np.ndarray:
        length = samples(seconds)
        count = max(4, int(rng.poisson(rate * seconds)))
        size = samples(0.05)
        time = np.arange(size) / RATE
        base = pitch * rng.lognormal(0, 0.45, (count, 1))
        angle = 2 * np.pi * base * (time + rng.uniform(2, 9, (count, 1)) * time**2)
        grains = (
            rng.lognormal(0, 0.5, (count, 1)) * np.sin(angle) * np.exp(-time / rng.uniform(0.004, 0.014, (count, 1)))
        )
        grains[:, :16] *= np.linspace(0, 1, 16)  # 1 ms of fade-in: no clicks
        bubbles = scatter(np.zeros(length), grains, rng.integers(0, length, count))
        steps = max(2, int(seconds * 10))
        tops = high * np.exp(rng.normal(0, 0.25, (steps, 1)))
        splash = shape(noise(rng, length), band(low, high, slope=8) / (1 + (BINS / tops) ** 2))
        return edges(bubbles * wet + splash * wander(rng, length, spread=0.25, per_second=10), 0.06, 0.1)

    return voice


# first and second formant (Hz) of vowels, for a long vocal tract
VOWELS = np.array(
    [[280, 2250], [400, 1950], [550, 1750], [680, 1650], [720, 1150], [560, 880], [440, 980], [310, 870], [480, 1300]]
)


def speech(source: Generator) -> Voice:
    """Make syllables: voiced vowels with gliding formants and falling pitch, consonants as noise or silence."""
    pitch, formant_scale = np.exp(source.uniform(np.log(90), np.log(290))), source.uniform(0.92, 1.28)
    tempo, tilt, lilt = source.uniform(3.4, 6.0), source.uniform(0.55, 0.85), source.uniform(0.06, 0.2)

    def voice(rng: Generator, seconds: float) -> np.ndarray:
        length = samples(seconds)
        count = max(1, round(seconds * tempo))
        bounds = np.linspace(0, length, count + 1).astype(int)
        bounds[1:-1] += rng.integers(-400, 400, max(0, count - 1))  # by up to 25 ms
        bounds = np.maximum.accumulate(np.clip(bounds, 0, length))
        contour = lerp(length, [1.12, 1.0, 0.85]) * wander(rng, length, spread=lilt, per_second=tempo)
        targets, loud = [], np.zeros(length)
        consonants = np.zeros(length)
        for start, end in itertools.pairwise(bounds):
            first, second = VOWELS[rng.integers(len(VOWELS), size=2)]
            targets += [first, 0.6 * first + 0.4 * second, second]
            size = int(end - start)
            if size < 64:  # 4 ms
                continue
            unvoiced = int(size * rng.uniform(0.12, 0.38))  # samples of the consonant before the vowel
            loud[start + unvoiced : end] = lerp(size - unvoiced, [0.2, 1, 0.9, 0.5]) * rng.uniform(0.6, 1.1)
            if rng.random() < 0.65:
                low = rng.uniform(1200, 5000)
                burst = shape(noise(rng, max(unvoiced, 64)), band(low, low * 1.7))
                consonants[start : start + len(burst)] += burst[: length - start] * rng.uniform(0.05, 0.3)
        first_two = np.array(targets, float) * formant_scale
        third_and_fourth = np.tile([2600 * formant_scale, 3600 * formant_scale], (len(first_two), 1))
        four = np.concatenate([first_two, third_and_fourth], axis=1)
        curve = formants(four, [80, 120, 180, 250], [1.0, 0.6, 0.35, 0.2])
        voiced = shape(pulses(pitch * contour, tilt=tilt) * loud, curve)
        return edges(voiced * 4 + consonants, 0.01, 0.03)

    return voice


def vacuum_cleaner(source: Generator) -> Voice:
    """Make broadband noise through a tube and a whining motor, modulated by slow strokes; starts up."""
    whine, share = source.uniform(350, 1300), source.uniform(0.08, 0.5)
    centres = np.sort(source.uniform(300, 5000, 3))
    widths = source.uniform(250, 1200, 3)
    gains, stroke = source.uniform(0.4, 1, 3), source.uniform(0.3, 1.2)

    def voice(rng: Generator, seconds: float) -> np.ndarray:
        length = samples(seconds)
        run = np.minimum(1, 0.5 + np.arange(length) / RATE / 0.6) * wander(rng, length, spread=0.01, per_second=2)
        steps = max(2, int(seconds * stroke * 2))
        moves = centres * np.exp(rng.normal(0, 0.1, (steps, 1)))
        air = shape(noise(rng, length), formants(moves, widths, gains) * band(150, 5500, slope=6))
        tone = partials(whine * run, [1, 2, 3, 4], [1, 0.6, 0.35, 0.2])
        return edges(air + share * tone, 0.2, 0.25)

    return voice


def _series(
    rng: Generator,
    seconds: float,
    call: Voice,
    *,
    call_seconds: tuple[float, float],
    gap_seconds: tuple[float, float],
) -> np.ndarray:
    """Make calls with gaps between them until `seconds` are filled.

    The last call is stretched up to 1.3 times the longest, if less than 0.6 of the shortest would be left after it.

    Args:
        rng: random numbers.
        seconds: length of the whole.
        call: renders one call.
        call_seconds: shortest and longest call.
        gap_seconds: shortest and longest gap.
    """
    low, high = call_seconds
    pieces: list[np.ndarray] = []
    left = seconds
    while left > low * 0.6 or not pieces:
        length = min(float(rng.uniform(low, high)), left)
        if left - length < low * 0.6:
            length = min(left, high * 1.3)
        pieces.append(call(rng, length) * rng.uniform(0.6, 1))
        gap = float(rng.uniform(*gap_seconds))
        left -= length + gap
        if left > low * 0.6:
            pieces.append(np.zeros(samples(gap)))
    return edges(np.concatenate(pieces), 0.005, 0.02)


FAMILIES: dict[str, Callable[[Generator], Voice]] = {
    "Alarm_bell_ringing": alarm_bell_ringing,
    "Blender": blender,
    "Cat": cat,
    "Dishes": dishes,
    "Dog": dog,
    "Electric_shaver_toothbrush": electric_shaver_toothbrush,
    "Frying": frying,
    "Running_water": running_water,
    "Speech": speech,
    "Vacuum_cleaner": vacuum_cleaner,
}
