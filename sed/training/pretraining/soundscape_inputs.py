"""Soundscapes mixed on the fly, on the device: a new batch at every step, a function of (seed, step).

Most clips have a background, and a few kinds of sounds, each once or several times. A kind is all sounds of one name,
and a class of the training; an event is a sound or background placed in a clip. Speed, gain and onset are drawn for
every sound, the speed for every background, a filter for every track, and a room for every track of sounds. The
distribution is broader than that of the synthetic corpus (`sed/data/synthesis/soundscape.py`), because pre-training
should help with other recordings, too. Its constants are choices of ours, not taken from a publication.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sed.data.synthesis.signals import RATE, room
from sed.data.synthesis.sound_table import Sounds
from sed.errors import UserError
from sed.features.logmel import FrontEnd
from sed.training import augment
from sed.training.augment import AugmentOptions
from sed.training.inputs import StepInputs, drawn, share_of, with_partners

TRACKS = 3
"""tracks per clip: two for sounds, each with a filter and a room, one for the background, with a filter only"""
ROOMS = 64
"""number of simulated rooms to draw from"""
REVERBERATION = 0.5  # s, longest reverberation time (decay by 60 dB) of a room
KNOTS = 8
"""points of a filter's curve, evenly spaced in log frequency"""
FREQUENCIES = (60.0, 8000.0)  # Hz, of the first and the last knot
LONGEST_EVENT = 6.0  # s, unless it is a texture (a sustained sound, of which a stretch of random length is played)
SHORTEST_EVENT = 0.02  # s; shorter events, such as those cut by a clip's border, are left out
FADE = 0.005  # s, linear, at both ends of an event
MOST_KINDS, MOST_REPETITIONS = 5, 6  # kinds in a clip, and repetitions of a kind after the first event
MOST_OCTAVES = 0.45  # largest change of the playback speed, in either direction
# dB, standard deviations: of a kind's level around the clip's (drawn from snr_min to snr_max), and of an event's level
# around its kind's; 0 dB is the level of the sounds in `Sounds.wave`
KIND_SPREAD, SOUND_SPREAD = 3.0, 1.5
TEXTURE_SECONDS, TEXTURE_SPREAD = 4.0, 0.7  # s, median length of a texture; standard deviation of its natural logarithm
NO_BACKGROUND = 0.05  # probability
BACKGROUND_GAIN = 0.5  # amplitude factor: -6 dB on the scale of snr_min and snr_max, so that SNRs are 6 dB above these


SECTION = "soundscapes on the fly, if the source is a soundbank"
OPTIONS = {
    "procedural": {
        "default": 1500,
        "help": "number of procedurally generated sounds to mix in, as additional classes",
        "least": 0,
    },
    "foreground_share": {
        "default": 0.6,
        "help": "share of the bank's labels among the kinds of sounds in clips",
        "least": 0,
        "most": 1,
    },
    "procedural_share": {
        "default": 0.15,
        "help": "share of procedurally generated sounds among the kinds of sounds in clips; the rest are the bank's "
        "distractors",
        "least": 0,
        "most": 1,
    },
    "kinds": {
        "default": 2.2,
        "help": "mean of the Poisson distribution of a clip's number of kinds of sounds, which is cut to five; a kind "
        "may be drawn several times",
        "least": 0,
        "most": 5,
    },
    "repeats": {
        "default": 1.2,
        "help": "mean of the Poisson distribution of a kind's repetitions within a clip, which is cut to six; textures "
        "(stretches of sustained sounds) are not repeated",
        "least": 0,
    },
    "speed_octaves": {
        "default": 0.2,
        "help": "standard deviation of the playback speed, octaves; changes are cut to 0.45",
        "least": 0,
    },
    "filter_db": {"default": 4.0, "help": "standard deviation of a random filter's gains, dB", "least": 0},
    "snr_min": {"default": 5.0, "help": "lowest mean level of a clip's events, dB; the SNR is 6 dB more"},
    "snr_max": {"default": 32.0, "help": "highest mean level of a clip's events, dB; the SNR is 6 dB more"},
    "wet_max": {"default": 0.4, "help": "largest energy of reflections relative to the direct sound", "least": 0},
}


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Mixing instructions of a batch: source and position of every event (a sound or background).

    The tracks of all clips are concatenated, `TRACKS` per clip, each as long as the clip.
    """

    source: Tensor
    """first sample to play in the table of sounds (events,) int64"""
    limit: Tensor
    """last sample of the sound in the table, relative to `source` (events,) int64"""
    speed: Tensor
    """playback speed (events,) float64"""
    place: Tensor
    """first sample in the concatenated tracks (events,) int64"""
    length: Tensor
    """number of samples in the tracks (events,) int64"""
    gain: Tensor
    """amplitude factor (events,) float32"""
    room: Tensor
    """index of the room (clips, tracks) int64"""
    wet: Tensor
    """energy of reflections relative to the direct sound (clips, tracks, 1) float32"""
    filter: Tensor
    """gains at the knots, dB (clips, tracks, knots) float32"""
    top: Tensor
    """corner frequency of the low-pass filter, Hz (clips, 1) float32"""
    peak: Tensor
    """peak amplitude of the clip, 1 is full scale (clips, 1) float32"""
    total: int
    """sum of `length`, here so that the host need not wait for the device to read it"""

    def to(self, device: torch.device) -> Scene:
        tensors = {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
        moved = {name: value.to(device, non_blocking=True) for name, value in tensors.items()}
        return Scene(**moved, total=self.total)

    def of_clips(self, clips: np.ndarray, samples: int) -> Scene:
        """Return the scene of some clips.

        Args:
            clips: their indices in this batch (n,), in the order of the new one; a clip may be there several times.
            samples: samples per clip.

        Returns:
            The scene, on the same device.
        """
        span = TRACKS * samples
        of_clip = [torch.nonzero(self.place // span == clip)[:, 0] for clip in clips]
        rows = torch.cat(of_clip)
        moved = torch.cat(
            [
                torch.full_like(own, (new - int(old)) * span)
                for new, (old, own) in enumerate(zip(clips, of_clip, strict=True))
            ]
        )
        events = {name: getattr(self, name)[rows] for name in ("source", "limit", "speed", "length", "gain")}
        chosen = torch.from_numpy(clips)
        tracks = {name: getattr(self, name)[chosen] for name in ("room", "wet", "filter", "top", "peak")}
        return Scene(**events, **tracks, place=self.place[rows] + moved, total=int(events["length"].sum()))


@dataclass(frozen=True, kw_only=True)
class SceneInputs:
    """Inputs of a step whose features are not rendered yet."""

    scene: Scene
    step: StepInputs
    """all inputs but `features`, which are empty"""


class SoundscapeMaker:
    """Input maker of soundscapes; see `sed.training.inputs.Maker`."""

    in_memory = True

    def __init__(
        self,
        sounds: Sounds,
        front_end: FrontEnd,
        *,
        config: Mapping[str, Any],
        frames: int,
        frame_seconds: float,
        device: torch.device,
        shares: int = 1,
    ) -> None:
        """
        Args:
            sounds: table of the sounds and their kinds, which are the classes.
            front_end: computes features on the device.
            config: options of this module and of augmentation, `batch_size`, `seed` and `clip_seconds`.
            frames: label frames per clip.
            frame_seconds: length of a label frame in seconds.
            device: device to mix on.
            shares: number of equal shares that a batch is divided into.

        Raises:
            UserError: the front end's rate is not that of the sounds, backgrounds are shorter than a clip, `snr_min` is
                above `snr_max`, the shares of kinds leave nothing to draw, or the clips of a batch cannot be divided
                into equal shares.
        """
        if front_end.sample_rate != RATE:
            raise UserError(
                f"sample_rate {front_end.sample_rate}: soundscapes are made at {RATE} Hz (change the config)"
            )
        if config["snr_min"] > config["snr_max"]:
            raise UserError(f"snr_min {config['snr_min']} is above snr_max {config['snr_max']} (change one of them)")
        self.clips, self.labels, self.shares = config["batch_size"], sounds.names, shares
        if self.clips % shares:
            raise UserError(
                f"{self.clips} clips per batch do not divide into {shares} equal shares (change --batch-size or the "
                "number of processes)"
            )
        self.device, self.frames, self.frame_seconds = device, frames, frame_seconds
        self._config, self._sounds, self._front_end = config, sounds, front_end
        self._options = AugmentOptions.from_config(config)
        self._samples = front_end.clip_samples
        self._mixer = Mixer(sounds.wave, samples=self._samples, device=device, seed=config["seed"])
        self._weights = _weights(sounds, config)
        self._backgrounds = np.array([k for k, kind in enumerate(sounds.kinds) if kind.role == "background"])
        _check_backgrounds(sounds, config)
        self._texture = np.array([kind.texture for kind in sounds.kinds])
        # Cumulative probabilities of the sounds of kind k, plus k: one `searchsorted` draws for all kinds.
        self._chances = np.concatenate(
            [k + sounds.chance[kind.first :][: kind.count].cumsum() for k, kind in enumerate(sounds.kinds)]
        )

    def make(self, step: int, share: int = 0) -> SceneInputs:
        """Draw step `step`, and return a share of it: scene, frame targets and the augmentation of the features."""
        rng = np.random.default_rng((self._config["seed"], step, 0x5CE))  # 0x5CE: arbitrary, keeps random streams apart
        scene, targets = self._draw(rng)
        draws = augment.draw(
            rng,
            self._options,
            strong=self.clips,
            weak=0,
            unlabelled=0,
            frames=self.frames,
            frame_seconds=self.frame_seconds,
            bins=self._front_end.mel_bins,
        )
        own, slots, partner = self._share(share, draws.partner)
        if self.shares > 1:
            scene, targets = scene.of_clips(slots, self._samples), targets[slots]
        none = np.zeros(0, np.int64)  # all clips are strong
        arrays = {
            "features": np.zeros(0, np.float16),
            "valid": np.full(len(slots), self._front_end.clip_frames),
            "shift": draws.shift[slots],
            "strong_targets": targets,
            "weak_targets": np.zeros((0, targets.shape[2]), np.uint8),
            "pseudo_targets": np.zeros((0, *targets.shape[1:]), np.float16),
            "strong_partner": partner,
            "weak_partner": none,
            "unlabelled_partner": none,
            **drawn(draws, [own, none, none], strong_slots=slots, of_teacher=own),
        }
        return SceneInputs(scene=scene, step=StepInputs(**{name: torch.from_numpy(a) for name, a in arrays.items()}))

    def _share(self, share: int, partner: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the clips of a share, the clips to render for them, and each clip's mixup partner among the latter.

        `partner` (batch,) has every clip's partner in the batch. Partners of a share are rendered for it, unless
        nothing is mixed.
        """
        own = share_of(0, self.clips, share, self.shares)
        mixed = self._options.mixup_probability > 0 or self._options.wavmix_probability > 0
        if self.shares > 1 and not mixed:
            return own, own, np.arange(len(own))
        return own, *with_partners(own, partner, self.shares)

    def fetched(self, inputs: SceneInputs) -> StepInputs:
        """Return the inputs on the device, where the clips are mixed and their features computed."""
        step = inputs.step.to(self.device)
        features = self._front_end(self._mixer(inputs.scene.to(self.device)))
        return replace(step, features=features)

    def _draw(self, rng: np.random.Generator) -> tuple[Scene, np.ndarray]:
        """Draw a batch: the mixing instructions, and the targets (clips, frames, classes) uint8."""
        events = self._events(rng)
        background = self._background(rng)
        return self._scene(events, background, rng), self._targets(events, background)

    def _events(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Draw the events of a batch except backgrounds.

        Returns:
            Arrays (events,): `clip`, `kind`, `track`, `level` (dB) and `chosen` (index of the sound in the table);
            `speed`; `skipped`, `onset` and `length`, in samples of the clip, at that speed; `gain`, a factor.
        """
        config, clips, whole = self._config, self.clips, self._samples
        number = np.minimum(rng.poisson(config["kinds"], clips), MOST_KINDS)  # kinds of sounds in each clip
        clip = np.repeat(np.arange(clips), number)
        kind = rng.choice(len(self._weights), len(clip), p=self._weights) if len(clip) else np.zeros(0, np.int64)
        order = np.arange(len(clip)) - np.repeat(np.cumsum(number) - number, number)  # position within the clip
        # a texture occurs once for each time that it is drawn, other kinds may be repeated
        repetitions = np.minimum(rng.poisson(config["repeats"], len(clip)), MOST_REPETITIONS)
        times = np.where(self._texture[kind], 1, 1 + repetitions)
        snr = rng.uniform(config["snr_min"], config["snr_max"], clips)
        level = snr[clip] + rng.normal(0, KIND_SPREAD, len(clip))  # dB
        # one element per event from here on; the kinds of a clip alternate between its two event tracks
        clip, kind, track, level = (np.repeat(x, times) for x in (clip, kind, order % 2, level))
        count = len(clip)
        chosen = self._choose(kind, rng)
        speed = self._speed(count, rng)
        played = self._sounds.length[chosen] / speed
        # the limit of a texture is drawn: 0.5 s to 1.3 times the clip's length
        most_seconds = np.where(
            self._texture[kind],
            np.clip(np.exp(rng.normal(np.log(TEXTURE_SECONDS), TEXTURE_SPREAD, count)), 0.5, 1.3 * whole / RATE),
            LONGEST_EVENT,
        )
        length = np.minimum(played, most_seconds * RATE).astype(np.int64)
        skipped = rng.random(count) * (played - length)
        # Up to a quarter of an event longer than 2 s may lie before or after the clip.
        beyond = np.where(length > 2 * RATE, length // 4, 0)
        onset = np.floor(-beyond + rng.random(count) * np.maximum(whole - length + 2 * beyond, 1)).astype(np.int64)
        cut = np.maximum(-onset, 0)
        onset, skipped = onset + cut, skipped + cut
        length = np.minimum(length - cut, whole - onset)
        rows = {
            **{"clip": clip, "kind": kind, "track": track, "level": level, "chosen": chosen},
            **{"speed": speed, "skipped": skipped, "onset": onset, "length": length},
        }
        kept = length > SHORTEST_EVENT * RATE
        rows = {name: values[kept] for name, values in rows.items()}
        rows["gain"] = 10 ** ((rows["level"] + rng.normal(0, SOUND_SPREAD, len(rows["clip"]))) / 20)
        return rows

    def _targets(self, events: dict[str, np.ndarray], background: dict[str, np.ndarray]) -> np.ndarray:
        """Return the frame targets (clips, frames, classes) uint8; a background is active throughout its clip."""
        targets = np.zeros((self.clips, self.frames, len(self._sounds.kinds)), np.uint8)
        hop = self.frame_seconds * RATE  # samples per label frame
        onset, offset = events["onset"], events["onset"] + events["length"]
        starts, ends = np.floor(onset / hop + 0.5).astype(int), np.floor(offset / hop + 0.5).astype(int)
        ends = np.maximum(ends, starts + 1)  # at least one, but none in a clip's last half frame
        for row, start, end, column in zip(events["clip"], starts, ends, events["kind"], strict=True):
            targets[row, start:end, column] = 1
        present = background["kind"] >= 0
        targets[np.flatnonzero(present), :, background["kind"][present]] = 1
        return targets

    def _scene(
        self, events: dict[str, np.ndarray], background: dict[str, np.ndarray], rng: np.random.Generator
    ) -> Scene:
        """Place sounds and backgrounds in the tracks, and draw the rooms, filters and levels of each clip."""
        config, clips, whole = self._config, self.clips, self._samples
        present = background["kind"] >= 0
        chosen, skipped, speed = (
            np.concatenate([events[name], background[name][present]]) for name in ("chosen", "skipped", "speed")
        )
        first = np.floor(skipped * speed).astype(np.int64)
        place = (events["clip"] * TRACKS + events["track"]) * whole + events["onset"]
        tensors = {
            "source": self._sounds.start[chosen] + first,
            "limit": self._sounds.length[chosen] - first - 1,
            "speed": speed,
            "place": np.concatenate([place, (np.flatnonzero(present) * TRACKS + 2) * whole]),
            "length": np.concatenate([events["length"], np.full(int(present.sum()), whole)]),
            "gain": np.concatenate([events["gain"], np.full(int(present.sum()), BACKGROUND_GAIN)]).astype(np.float32),
            "room": rng.integers(0, ROOMS, (clips, TRACKS)),
            # squared: little reverberation is likelier than much; the third track, the background, has no reflections
            "wet": (config["wet_max"] * rng.random((clips, TRACKS, 1)) ** 2 * [[[1], [1], [0]]]).astype(np.float32),
            "filter": rng.normal(0, config["filter_db"], (clips, TRACKS, KNOTS)).astype(np.float32),
            # Half of the clips are low-pass filtered; the others have a corner at 16 kHz, twice the highest frequency.
            "top": np.where(rng.random((clips, 1)) < 0.5, rng.uniform(4000, 8000, (clips, 1)), 16000).astype(
                np.float32
            ),
            # -14 to -1 dB of full scale
            "peak": (10 ** (rng.uniform(-14, -1, (clips, 1)) / 20)).astype(np.float32),
        }
        return Scene(**{name: torch.from_numpy(a) for name, a in tensors.items()}, total=int(tensors["length"].sum()))

    def _speed(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Draw the playback speeds of some sounds (count,)."""
        octaves = np.clip(rng.normal(0, self._config["speed_octaves"], count), -MOST_OCTAVES, MOST_OCTAVES)
        return 2.0**octaves

    def _choose(self, kind: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw a sound of each kind (n,), by the sounds' probabilities; return their indices (n,)."""
        # 1 - 1e-9: so that rounding does not reach the next kind
        at = np.searchsorted(self._chances, kind + rng.random(len(kind)) * (1 - 1e-9), side="right")
        return np.minimum(at, len(self._chances) - 1)

    def _background(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Draw the background of every clip.

        Returns:
            Arrays (clips,): `kind` (-1: no background), `chosen`, `skipped` and `speed` as in `_events`.
        """
        if not len(self._backgrounds):
            none = np.zeros(self.clips)
            return {"kind": none.astype(np.int64) - 1, "chosen": none.astype(np.int64), "skipped": none, "speed": none}
        kind = self._backgrounds[rng.integers(0, len(self._backgrounds), self.clips)]
        chosen = self._choose(kind, rng)
        speed = self._speed(self.clips, rng)
        spare = np.maximum(self._sounds.length[chosen] / speed - self._samples, 0)
        return {
            "kind": np.where(rng.random(self.clips) < NO_BACKGROUND, -1, kind),
            "chosen": chosen,
            "skipped": rng.random(self.clips) * spare,
            "speed": speed,
        }


def _check_backgrounds(sounds: Sounds, config: Mapping[str, Any]) -> None:
    """Raise UserError if a background that is played at the highest speed ends before its clip."""
    kinds = [kind for kind in sounds.kinds if kind.role == "background"]
    lengths = [int(sounds.length[kind.first :][: kind.count].min()) for kind in kinds]
    shortest = min(lengths, default=np.inf) / RATE / 2 ** (MOST_OCTAVES if config["speed_octaves"] else 0)
    if config["clip_seconds"] > shortest:
        raise UserError(
            f"clip_seconds {config['clip_seconds']:g}: backgrounds of soundscapes last {shortest:.4g} s at the highest "
            "speed (shorten the clips)"
        )


def _weights(sounds: Sounds, config: Mapping[str, Any]) -> np.ndarray:
    """Return the probability of each kind (kinds,), whose shares by role are those of the options.

    They are scaled to a sum of 1: the bank may have no sounds of a role.

    Raises:
        UserError: all are 0.
    """
    share = {"foreground": config["foreground_share"], "procedural": config["procedural_share"], "background": 0.0}
    share["distractor"] = max(0.0, 1 - sum(share.values()))
    weights = np.zeros(len(sounds.kinds))
    for role, probability in share.items():
        of_role = np.array([kind.role == role for kind in sounds.kinds])
        if of_role.any():
            # Within a role, the bank's labels (foreground) are equally likely; other kinds by the square root of their
            # number of sounds, so that a kind with one sound is drawn less often than one with fifty.
            size = np.array([1.0 if role == "foreground" else kind.count**0.5 for kind in sounds.kinds])[of_role]
            weights[of_role] = probability * size / size.sum()
    if not weights.sum():
        raise UserError("foreground_share and procedural_share leave no sounds to choose from (change them)")
    return weights / weights.sum()


class Mixer:
    """Renderer of scenes on the device: waveforms (clips, samples) float32.

    Rooms, filters and low-pass filters are products with the tracks' spectra.
    """

    def __init__(self, wave: np.ndarray, *, samples: int, device: torch.device, seed: int) -> None:
        self._wave = torch.from_numpy(wave).to(device)
        self._samples = samples
        self._size = _good_length(samples + int(REVERBERATION * RATE))
        rng = np.random.default_rng((seed, 0x5CF))  # 0x5CF: arbitrary, keeps random streams apart
        # reverberation times from 0.12 s on; wet=1.0, since `Scene.wet` scales the reflections of each track
        rooms = [room(rng, float(rng.uniform(0.12, REVERBERATION)), wet=1.0) for _ in range(ROOMS)]
        # Reflections only: without sample 0, the direct sound, which `__call__` adds.
        tails = torch.zeros(ROOMS, int(REVERBERATION * RATE) + 1)
        for tail, response in zip(tails, rooms, strict=True):
            tail[1 : len(response)] = torch.from_numpy(response[1:]).float()
        self._rooms = torch.fft.rfft(tails, self._size).to(torch.complex64).to(device)
        frequency = torch.fft.rfftfreq(self._size, 1 / RATE)
        self._frequency = frequency.to(device)
        # Linear interpolation between the knots over log frequency as a matrix (knots, frequencies): one product gives
        # all curves.
        low, high = FREQUENCIES
        at = (frequency.clamp(low, high).log() - np.log(low)) / (np.log(high) - np.log(low)) * (KNOTS - 1)
        knots = torch.arange(KNOTS)[:, None]
        self._curves = (1 - (at - knots).abs()).clamp_min(0).to(device)

    @torch.no_grad()
    def __call__(self, scene: Scene) -> Tensor:
        clips, device = len(scene.peak), self._wave.device
        tracks = torch.zeros(clips * TRACKS * self._samples, device=device)
        if device.type == "cpu":  # one event at a time stays in the cache
            for event, length in enumerate(scene.length.tolist()):
                self._play(tracks, scene, slice(event, event + 1), length)
        else:
            self._play(tracks, scene, slice(None), scene.total)
        spectrum = torch.fft.rfft(tracks.view(clips, TRACKS, self._samples), self._size)
        response = 1 + scene.wet.sqrt() * self._rooms[scene.room]
        response = response * (scene.filter @ self._curves * (np.log(10) / 20)).exp()
        low_pass = 1 / (1 + (self._frequency / scene.top) ** 8)  # falls by 48 dB per octave
        clip = torch.fft.irfft((spectrum * response).sum(1) * low_pass, self._size)[:, : self._samples]
        return clip * (scene.peak / clip.abs().amax(1, keepdim=True).clamp_min(1e-9))

    def _play(self, tracks: Tensor, scene: Scene, rows: slice, total: int) -> None:
        """Add the events `rows`, which have `total` samples together, to the tracks.

        `length` and `start` have one element per event, the other tensors one per sample played.
        """
        length = scene.length[rows]
        start = length.cumsum(0) - length
        event = torch.repeat_interleave(torch.arange(len(length), device=tracks.device), length, output_size=total)
        at = torch.arange(total, device=tracks.device) - start[event]
        exact = at * scene.speed[rows][event]  # position in the sound, between samples
        below = exact.long()
        source, limit = scene.source[rows][event], scene.limit[rows][event]
        here = self._wave[source + torch.minimum(below, limit)].float()
        after = self._wave[source + torch.minimum(below + 1, limit)].float()
        sound = torch.lerp(here, after, (exact - below).float())
        edge = torch.minimum(at + 1, length[event] - at) / (FADE * RATE)
        sound *= scene.gain[rows][event] * edge.clamp_max(1)
        tracks.index_add_(0, scene.place[rows][event] + at, sound)


def _good_length(samples: int) -> int:
    """Return the smallest length of at least `samples` whose FFT is fast: a product of powers of 2, 3 and 5."""
    from scipy.fft import next_fast_len

    return int(next_fast_len(samples, real=True))
