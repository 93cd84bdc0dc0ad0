"""Building blocks of procedural sounds: pulse trains, random curves, time-varying filters, rooms. 16 kHz mono."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.fft import irfft, rfft
from scipy.signal import lfilter, oaconvolve

RATE = 16000
"""sampling rate of all synthesised audio, Hz"""
WINDOW, HOP = 512, 256
"""samples of the short-time Fourier transform in `shape`"""
ROOT_HANN = np.sqrt(np.hanning(WINDOW + 1)[:-1]).astype(np.float32)
"""window of `shape`, before and after the filter: its squares, HOP samples apart, add up to 1"""
BINS = np.arange(WINDOW // 2 + 1) * (RATE / WINDOW)
"""centre frequencies (Hz) of the bins that `shape` weights"""

NYQUIST_MARGIN = 200
"""Hz below half the sampling rate that `partials` leaves empty"""

Numbers = Sequence[float] | np.ndarray
Voice = Callable[[np.random.Generator, float], np.ndarray]
"""A sound source: (random generator, length in seconds) -> waveform (samples,) of about that length; a whole recording
of a `SoundBank` keeps its own length"""


def samples(seconds: float) -> int:
    """Return the number of samples in `seconds`, rounded, at least one."""
    return max(1, round(seconds * RATE))


def lerp(length: int, points: Sequence[float] | np.ndarray) -> np.ndarray:
    """Interpolate evenly spaced `points` linearly to (length,)."""
    return np.interp(np.linspace(0, len(points) - 1, length), np.arange(len(points)), points)


def wander(rng: np.random.Generator, length: int, *, spread: float, per_second: float) -> np.ndarray:
    """Draw a random factor around 1 that changes smoothly over time.

    Args:
        rng: random numbers.
        length: samples.
        spread: standard deviation of the factor's logarithm.
        per_second: independent values per second, between which the logarithm is interpolated.

    Returns:
        (length,) factors.
    """
    count = int(length / RATE * per_second) + 2  # with both ends
    return np.exp(lerp(length, rng.normal(0, spread, count)))


def pulses(pitch: np.ndarray, *, tilt: float = 0.0, top: float = 7600.0) -> np.ndarray:
    """Synthesise a band-limited pulse train with harmonics of equal amplitude.

    Args:
        pitch: (samples,) Hz.
        tilt: coefficient of a one-pole low-pass filter, from 0 (none) to below 1.
        top: highest harmonic in Hz.

    Returns:
        (samples,) waveform.
    """
    phase = np.cumsum(2 * np.pi / RATE * pitch)
    count = max(1, int(top / pitch.max()))
    # sum of `count` cosines in closed form (Dirichlet kernel), scaled to a mean square of 1
    half = np.sin(phase / 2)
    safe = np.where(np.abs(half) < 1e-4, 1.0, half)
    train = np.where(np.abs(half) < 1e-4, 2.0 * count, np.sin((count + 0.5) * phase) / safe - 1) / (2 * count) ** 0.5
    return lfilter([1 - tilt], [1, -tilt], train) if tilt else train


def partials(pitch: np.ndarray, ratios: Numbers, gains: Numbers) -> np.ndarray:
    """Synthesise a sum of sinusoids, without those that reach NYQUIST_MARGIN below half the sampling rate.

    Args:
        pitch: (samples,) Hz.
        ratios: frequency of each sinusoid relative to the pitch.
        gains: amplitude of each.

    Returns:
        (samples,) waveform.
    """
    angle = np.cumsum(2 * np.pi / RATE * pitch)
    high = float(pitch.max())
    out = np.zeros(len(pitch))
    for ratio, gain in zip(ratios, gains, strict=True):
        if ratio * high < RATE / 2 - NYQUIST_MARGIN:
            out += gain * np.sin(ratio * angle)
    return out


def noise(rng: np.random.Generator, length: int) -> np.ndarray:
    """Draw white noise (length,) of standard deviation 1."""
    return rng.standard_normal(length, dtype=np.float32)


def shape(sound: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """Filter a sound in the short-time Fourier domain.

    Args:
        sound: (samples,).
        gains: (steps, bins), evenly spaced from the sound's start to its end and interpolated; (1, bins) is constant.

    Returns:
        (samples,).
    """
    length = len(sound)
    frames = length // HOP + 2
    padded = np.zeros((frames + 1) * HOP, np.float32)
    padded[HOP : HOP + length] = sound
    spectra = rfft(np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP] * ROOT_HANN)
    if len(gains) == 1:
        spectra *= gains.astype(np.float32)
    else:
        at = np.linspace(0, len(gains) - 1, frames)
        low = np.minimum(at.astype(int), len(gains) - 2)
        fraction = (at - low).astype(np.float32)[:, None]
        gains = gains.astype(np.float32)
        spectra *= gains[low] * (1 - fraction) + gains[low + 1] * fraction
    blocks = irfft(spectra, WINDOW) * ROOT_HANN
    out = np.zeros((frames + 1, HOP), np.float32)
    out[:-1] += blocks[:, :HOP]
    out[1:] += blocks[:, HOP:]
    return out.reshape(-1)[HOP : HOP + length].astype(np.float64)


def formants(centres: np.ndarray, widths: Numbers, gains: Numbers) -> np.ndarray:
    """Return the gains of a vocal tract or another resonator, with one peak per formant over a floor of 0.01.

    Args:
        centres: (steps, formants) Hz.
        widths: for each formant, the distance in Hz from its centre at which its gain has fallen to half.
        gains: amplitude of each formant.

    Returns:
        (steps, bins) gains.
    """
    centres = np.atleast_2d(centres)
    out = np.full((len(centres), len(BINS)), 0.01)
    for k, (width, gain) in enumerate(zip(widths, gains, strict=True)):
        out += gain / (1 + ((BINS - centres[:, k : k + 1]) / width) ** 2)
    return out


def band(low: float, high: float, *, slope: float = 12.0) -> np.ndarray:
    """Return the gains of a band-pass filter.

    Args:
        low: lower edge in Hz.
        high: upper edge in Hz.
        slope: dB per octave by which the gain falls below and above the band.

    Returns:
        (1, bins) gains.
    """
    bins = np.maximum(BINS, 1)  # no logarithm of 0 Hz
    octaves = np.maximum(np.log2(low / bins), 0) + np.maximum(np.log2(bins / high), 0)
    return 10 ** (-slope * octaves[None] / 20)


def edges(sound: np.ndarray, attack: float, release: float) -> np.ndarray:
    """Fade a sound in and out.

    Args:
        sound: (samples,).
        attack: seconds of the fade-in, at most half of the sound.
        release: seconds of the fade-out, at most half of the sound.

    Returns:
        (samples,) with smooth edges.
    """
    sound = sound.copy()
    for seconds, view in ((attack, sound), (release, sound[::-1])):
        count = min(samples(seconds), len(sound) // 2)
        view[:count] *= np.sin(np.linspace(0, np.pi / 2, count)) ** 2
    return sound


def scatter(out: np.ndarray, pieces: Sequence[np.ndarray], starts: Sequence[int] | np.ndarray) -> np.ndarray:
    """Add pieces to `out`, in place; what extends beyond its end is cut.

    Args:
        out: (samples,).
        pieces: waveforms.
        starts: first sample of each piece in `out`.

    Returns:
        `out`.
    """
    for piece, start in zip(pieces, starts, strict=True):
        end = max(start, min(len(out), start + len(piece)))
        out[start:end] += piece[: end - start]
    return out


def loop(sound: np.ndarray, length: int, *, fade: float = 0.25) -> np.ndarray:
    """Repeat a sound with cross-fades.

    Args:
        sound: (samples,).
        length: samples of the result.
        fade: seconds of a cross-fade; a quarter of the sound if that is shorter.

    Returns:
        (length,) samples; a sound that is long enough is only cut.
    """
    if len(sound) >= length:
        return sound[:length]
    overlap = max(1, min(samples(fade), len(sound) // 4))
    step = max(1, len(sound) - overlap)  # a sound of one sample is all overlap
    ramp = np.sin(np.linspace(0, np.pi / 2, overlap))
    piece = sound.astype(np.float64)
    out = np.zeros(length + len(sound))
    for start in range(0, length, step):
        part = piece.copy()
        part[:overlap] *= ramp if start else 1
        part[-overlap:] *= ramp[::-1]
        out[start : start + len(part)] += part
    return out[:length]


def level(sound: np.ndarray) -> np.ndarray:
    """Scale a sound so that its loudest tenth of a second has a root mean square of 1; silence is returned as it is."""
    width, step = samples(0.1), samples(0.01)
    energy = np.concatenate([[0.0], np.cumsum(np.square(sound, dtype=np.float64))])
    if len(sound) > width:
        peak = float(np.max(energy[width::step] - energy[:-width:step])) / width
    else:
        peak = float(energy[-1]) / max(1, len(sound))
    return sound / peak**0.5 if peak > 1e-18 else sound  # -180 dB: silence


def room(rng: np.random.Generator, reverberation: float, *, wet: float) -> np.ndarray:
    """Draw the impulse response of a room: direct sound, six early reflections, and a decaying diffuse tail.

    Args:
        rng: random numbers.
        reverberation: reverberation time in seconds: the tail decays by 60 dB within it.
        wet: energy of all reflections relative to the direct sound.

    Returns:
        (samples,) response of at most 1.2 s. Early reflections arrive after 2 to 40 ms; the first 12 ms of the tail are
        lowered by 20 dB (our choices).
    """
    length = samples(min(reverberation, 1.2))
    tail = noise(rng, length) * 10 ** (-3 * np.arange(length) / samples(reverberation))
    tail[: samples(0.012)] *= 0.1
    for delay in rng.uniform(0.002, 0.04, 6):
        tail[min(samples(delay), length - 1)] += rng.normal(0, 3) * np.exp(-delay / 0.03)
    tail = lfilter([0.45], [1, -0.55], tail)  # walls and air absorb high frequencies first
    tail *= np.sqrt(wet / max(float(np.sum(tail**2)), 1e-9))
    tail[0] = 1.0
    return tail


def reverberate(sound: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Convolve a sound with a room's response, keeping its length."""
    return oaconvolve(sound.astype(np.float32), response.astype(np.float32))[: len(sound)]
