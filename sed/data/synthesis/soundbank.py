"""A soundbank of recordings: `{train,validation}/{foreground,background,distractor}/<label>/` of any format and rate.

Its foreground folders define the labels; those below background and distractor have any names, which are no labels.
Training and validation draw from their own folders only.
"""

from __future__ import annotations

import functools
import hashlib
import logging
from pathlib import Path

import numpy as np

from sed.data.audio import counted_duration, read_audio
from sed.data.recordings import recordings_of
from sed.data.synthesis.signals import RATE, Voice, edges, loop, samples
from sed.errors import UserError

log = logging.getLogger("sed.soundbank")

SPLITS = ("train", "validation")
SUSTAINED = 2.5
"""seconds (our choice); labels whose recordings have at least this median length are textures: events are stretches of
them, looped if needed"""
LONGEST = 60.0
"""seconds of a recording that are used; the rest is ignored"""
LOOPED_BELOW = 0.7
"""fraction of an event's length (our choice): a shorter recording of a texture is looped; one between this fraction and
the whole length is used once, which makes the event shorter"""


class SoundBank:
    """Recordings by label; same interface as `procedural_bank.ProceduralBank`."""

    def __init__(self, path: str | Path) -> None:
        path = self.path = Path(path)
        if not path.is_dir():
            raise UserError(f"{path}: no such soundbank (a folder of train/foreground/<label>/ and so on)")
        self._files = {
            (split, role): _folder(path / split / role)
            for split in SPLITS
            for role in ("foreground", "background", "distractor")
        }
        for split in SPLITS:
            if not self._files[split, "foreground"]:
                raise UserError(f"{path}: no recordings in {split}/foreground/<label>/ (a soundbank needs them)")
        self.labels = sorted(self._files["train", "foreground"])
        for label in self._files["validation", "foreground"]:
            if label not in self.labels:
                raise UserError(
                    f"{path}: label '{label}' is in validation/foreground only (add it to train/foreground)"
                )
        for label in self.labels:  # labels are separated by commas in options and by line ends in labels.txt
            if "," in label or label.split() != [label]:
                raise UserError(f"{path}: label {label!r} holds a comma, a blank or a line end (rename its folders)")

    def files(self, split: str, role: str) -> dict[str, list[Path]]:
        """Return {name of a subfolder: its recordings} of a split; `role` is foreground, background or distractor."""
        return self._files[split, role]

    def sustained(self, label: str) -> bool:
        """Return whether recordings of `label` are textures, of which events are stretches."""
        return self.typical_seconds(label) >= SUSTAINED

    def digest(self) -> str:
        """Return a hash of the paths and sizes of all recordings, by which a changed soundbank is noticed."""
        folders = (found for of_role in self._files.values() for found in of_role.values())
        lines = sorted(f"{file.relative_to(self.path)}\t{file.stat().st_size}\n" for files in folders for file in files)
        return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()

    def has(self, split: str, label: str) -> bool:
        """Return whether `split` has recordings of `label`."""
        return label in self._files[split, "foreground"]

    @functools.cache  # noqa: B019 (one bank lives as long as its process)
    def typical_seconds(self, label: str) -> float:
        """Return the median length of the label's training recordings in seconds."""
        lengths = []
        for file in self._files["train", "foreground"][label]:
            lengths.append(counted_duration(file))
        return float(np.median(lengths))

    def voice(self, split: str, label: str, rng: np.random.Generator) -> Voice:  # noqa: ARG002 (the interface)
        """Return a voice that draws a recording of `label` in each call: a whole one, or a stretch of a texture.

        Args:
            split: train or validation.
            label: the class.
            rng: unused; the voice draws from the generator that it is given.

        Returns:
            The voice.
        """
        files = self._files[split, "foreground"][label]
        sustained = self.sustained(label)

        def voice(rng: np.random.Generator, seconds: float) -> np.ndarray:
            sound = _load(files[int(rng.integers(len(files)))])
            if not sustained:
                return sound
            length = samples(seconds)
            if len(sound) < LOOPED_BELOW * length:
                return loop(sound, length)
            start = int(rng.integers(max(1, len(sound) - length)))
            return edges(sound[start : start + length], 0.02, 0.02)  # fades of 20 ms: no clicks

        return voice

    def background(self, split: str, rng: np.random.Generator, length: int) -> np.ndarray:
        """Return a background recording, looped with a cross-fade if too short; white noise if the bank has none.

        Args:
            split: train or validation.
            rng: chooses the recording.
            length: samples.

        Returns:
            (length,) samples of any level, which the mixer scales.
        """
        kinds = self._files[split, "background"]
        if not kinds:
            return rng.normal(size=length)
        files = kinds[sorted(kinds)[int(rng.integers(len(kinds)))]]
        sound = _load(files[int(rng.integers(len(files)))])
        # A recording that need not be looped starts at a random time; after its end comes its beginning.
        return loop(np.roll(sound, int(rng.integers(len(sound)))) if len(sound) >= length else sound, length)

    def distractor(self, split: str, rng: np.random.Generator) -> tuple[str, np.ndarray] | None:
        """Return (name, waveform) of a sound that has none of the labels; None if the bank has no distractors."""
        kinds = self._files[split, "distractor"]
        if not kinds:
            return None
        kind = sorted(kinds)[int(rng.integers(len(kinds)))]
        return kind, _load(kinds[kind][int(rng.integers(len(kinds[kind])))])


def _folder(path: Path) -> dict[str, list[Path]]:
    """Return {subfolder: its recordings at any depth, in order} of a folder; subfolders without any are left out."""
    found: dict[str, list[Path]] = {}
    for folder in sorted(path.iterdir()) if path.is_dir() else []:
        if folder.is_dir() and not folder.name.startswith("."):
            files = recordings_of(folder, log)
            if files:
                found[folder.name] = files
    return found


@functools.lru_cache(maxsize=128)  # recordings in memory: at most 0.5 GB, at 60 s each
def _load(file: Path) -> np.ndarray:
    sound = read_audio(file, RATE)[: int(LONGEST * RATE)]
    sound.setflags(write=False)
    return sound
