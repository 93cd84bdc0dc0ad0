"""All sounds of a soundbank, scaled to one level, in one array, from which training mixes soundscapes on the fly."""

from __future__ import annotations

import os
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from sed.data.audio import read_audio
from sed.data.synthesis.procedural_bank import DISTRACTORS, ProceduralBank
from sed.data.synthesis.signals import RATE, level, loop, samples
from sed.data.synthesis.soundbank import LONGEST, SoundBank
from sed.data.synthesis.soundscape import PROFILES, trim
from sed.data.synthesis.split_bank import sources
from sed.lifetime import end_with_parent

LOOPED = 14.0
"""seconds to which shorter textures and backgrounds are looped: enough for a clip of ten seconds, even if it is sped up
by 1.37 (2 to the power MOST_OCTAVES of `sed.training.pretraining.soundscape_inputs`)"""
IN_PROCESS = 100
"""procedural sounds up to which starting processes costs more time than it saves"""
PROCEDURAL = "procedural/"
"""prefix of the names of procedural sounds"""
ROLES = ("foreground", "distractor", "procedural", "background")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Sounds of one name, contiguous in the table."""

    name: str
    role: str
    """one of ROLES"""
    texture: bool
    """whether events are stretches of its sounds, of any length, instead of whole sounds"""
    first: int
    """index of its first sound in the table"""
    count: int
    """number of its sounds"""


@dataclass(frozen=True, kw_only=True)
class Sounds:
    """Table of sounds: sound i is `wave[start[i] : start[i] + length[i]]`."""

    wave: np.ndarray
    """(samples,) float16, 16 kHz; every sound's loudest tenth of a second has root mean square 1"""
    start: np.ndarray
    """(sounds,) int64, samples"""
    length: np.ndarray
    """(sounds,) int64, samples"""
    kinds: list[Kind]
    chance: np.ndarray
    """(sounds,) probability of each sound within its kind; sources with many files are weighted down (`chances`)"""

    @property
    def names(self) -> list[str]:
        """The name of every kind; labels come first, in the order of labels.txt of a corpus made from the soundbank."""
        return [kind.name for kind in self.kinds]

    @classmethod
    def load(cls, bank: SoundBank, *, split: str = "train", procedural: int = 0, seed: int = 0, nj: int = 1) -> Sounds:
        """Decode a split of a soundbank, and render procedural sounds beside it.

        Args:
            bank: the soundbank.
            split: train or validation.
            procedural: number of procedural sounds.
            seed: of the procedural sounds.
            nj: processes that render procedural sounds; recordings are decoded in this one.

        Returns:
            The sounds in memory.
        """
        waves: list[np.ndarray] = []
        kinds: list[Kind] = []
        chances: list[np.ndarray] = []
        for name, role, texture, found, chance in _groups(bank, split, procedural, seed, nj):
            kinds.append(Kind(name=name, role=role, texture=texture, first=len(waves), count=len(found)))
            waves += found
            chances.append(chance)
        length = np.array([len(wave) for wave in waves], np.int64)
        return cls(
            wave=np.concatenate(waves),
            start=np.concatenate([[0], length.cumsum()[:-1]]),
            length=length,
            kinds=kinds,
            chance=np.concatenate(chances),
        )


def chances(origins: Sequence[str]) -> np.ndarray:
    """Return the probability of each sound of a kind; `origins`: the source of each.

    A source of n sounds has a weight of sqrt(n), shared equally by them: a compromise between equal sounds, where a
    source with many files would dominate, and equal sources.
    """
    counts = Counter(origins)
    weight = np.array([counts[origin] ** -0.5 for origin in origins])
    return weight / weight.sum()


def recorded_names(bank: SoundBank) -> list[str]:
    """Return the names of the kinds of a soundbank's training recordings as in `Sounds.names`, reading none of them."""
    return [
        _recorded(role, kind)
        for role in ("foreground", "distractor", "background")
        for kind in bank.files("train", role)
    ]


def _recorded(role: str, kind: str) -> str:
    return kind if role == "foreground" else f"{role}/{kind}"


def _groups(
    bank: SoundBank, split: str, procedural: int, seed: int, nj: int
) -> Iterator[tuple[str, str, bool, list[np.ndarray], np.ndarray]]:
    """Yield (name, role, texture, waveforms, chances) of each kind, in the order of ROLES."""
    source_of = sources(bank.path)

    def chances_of(files: list[Path]) -> np.ndarray:
        names = (str(file.relative_to(bank.path)) for file in files)
        # `sources` may have found a file by another path, through a link; the file is then a source of its own.
        return chances([source_of.get(name, name) for name in names])

    for role in ("foreground", "distractor"):
        for label, files in bank.files(split, role).items():
            texture = role == "foreground" and bank.sustained(label)
            name = _recorded(role, label)
            yield name, role, texture, [_prepared(read_audio(file, RATE), texture) for file in files], chances_of(files)
    rendered = _render_all(procedural, seed, nj)
    for name, found in rendered.items():
        if not name.endswith("/background"):
            # False: rendered at the lengths of events, so also sustained sounds are whole events
            yield name, "procedural", False, found, np.full(len(found), 1 / len(found))
    for kind, files in bank.files(split, "background").items():
        found = [_prepared(read_audio(file, RATE), True) for file in files]
        yield _recorded("background", kind), "background", True, found, chances_of(files)
    for name, found in rendered.items():
        if name.endswith("/background"):
            yield name, "background", True, found, np.full(len(found), 1 / len(found))


def _prepared(sound: np.ndarray, texture: bool) -> np.ndarray:
    """Return a sound at level 1 (`level`), float16: textures looped with a cross-fade, others trimmed (`trim`)."""
    sound = sound[: int(LONGEST * RATE)].astype(np.float64)
    if texture:
        return level(loop(sound, max(len(sound), samples(LOOPED)))).astype(np.float16)
    return trim(level(sound)).astype(np.float16)


def _render_all(count: int, seed: int, nj: int) -> dict[str, list[np.ndarray]]:
    """Render `count` procedural sounds as {name: waveforms}: labels, distractors and backgrounds in turn."""
    families = [*sorted(PROFILES), *sorted(DISTRACTORS), "background"]
    todo = [families[i % len(families)] for i in range(count)]
    render = partial(_render, seed)
    if nj > 1 and count > IN_PROCESS:
        with ProcessPoolExecutor(nj, initializer=end_with_parent, initargs=(os.getpid(),)) as pool:
            waves = list(pool.map(render, range(count), todo, chunksize=20))
    else:
        waves = [render(i, name) for i, name in enumerate(todo)]
    found: dict[str, list[np.ndarray]] = {}
    for name, wave in zip(todo, waves, strict=True):
        found.setdefault(f"{PROCEDURAL}{name}", []).append(wave)
    return found


def _render(seed: int, number: int, name: str) -> np.ndarray:
    """Render procedural sound `number`, which is the only one of its source."""
    rng = np.random.default_rng([seed, zlib.crc32(b"sounds"), number])
    # a bank for each sound: its seed makes the source, and the split, here always train, makes no difference
    bank = ProceduralBank(seed=int(rng.integers(1 << 31)), sources=1)
    if name == "background":
        return _prepared(bank.background("train", rng, samples(LOOPED)), True)
    if profile := PROFILES.get(name):
        seconds = float(np.clip(profile.median * np.exp(rng.normal(0, profile.spread)), 0.25, 8.0))
        voice = bank.voice("train", name, rng)
    else:
        seconds = rng.uniform(0.3, 3)
        voice = DISTRACTORS[name](rng)
    return _prepared(voice(rng, seconds), False)
