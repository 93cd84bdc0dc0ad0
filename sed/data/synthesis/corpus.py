"""A synthetic corpus in DESED's own layout, written block by block so that a killed run can be resumed."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sed.data.directory import write_scp
from sed.data.sound_files import write_sound
from sed.data.synthesis.signals import RATE
from sed.data.synthesis.soundscape import ISOLATED, REAL, SYNTHETIC, Bank, Mixing, soundscape
from sed.data.tables import Event, write_durations_tsv, write_events_tsv, write_tags_tsv, write_tsv
from sed.files import sync_folder, write_text

BLOCK = 20
"""clips per block: the unit of work and of resuming"""


@dataclass(frozen=True)
class SetPlan:
    """One set of the corpus."""

    folder: str
    """folder of its audio"""
    table: str
    """path of its metadata"""
    kind: str
    """strong, weak or unlabelled"""
    split: str
    """split of the soundbank from which its sounds come: train or validation"""
    mixing: Mixing
    prefix: str
    """beginning of its clip ids, before the number"""
    suffix: str = ""
    """end of its clip ids, in which `{end}` stands for the clip's length in seconds"""


# As in DESED, the ids of real clips begin with Y (there before a YouTube id) and end in a start and an end time.
PLANS = {
    "strong_real": SetPlan(
        "audio/train/strong_label_real",
        "metadata/train/audioset_strong.tsv",
        "strong",
        "train",
        REAL,
        "Ystrong",
        "_0.000_{end:.3f}",
    ),
    "synthetic": SetPlan(
        "audio/train/synthetic21_train/soundscapes",
        "metadata/train/synthetic21_train/soundscapes.tsv",
        "strong",
        "train",
        SYNTHETIC,
        "",
    ),
    "weak": SetPlan("audio/train/weak", "metadata/train/weak.tsv", "weak", "train", REAL, "Yweak", "_0.000_{end:.3f}"),
    "unlabelled": SetPlan(
        "audio/train/unlabel_in_domain",
        "metadata/train/unlabel_in_domain.tsv",
        "unlabelled",
        "train",
        REAL,
        "Yunlabel",
        "_0.000_{end:.3f}",
    ),
    "synthetic_validation": SetPlan(
        "audio/validation/synthetic21_validation/soundscapes",
        "metadata/validation/synthetic21_validation/soundscapes.tsv",
        "strong",
        "validation",
        SYNTHETIC,
        "",
    ),
    "validation": SetPlan(
        "audio/validation/validation",
        "metadata/validation/validation.tsv",
        "strong",
        "validation",
        REAL,
        "Yvalid",
        "_0.000_{end:.3f}",
    ),
    "public": SetPlan(
        "audio/eval/public", "metadata/eval/public.tsv", "strong", "validation", REAL, "Ypublic", "_0.000_{end:.3f}"
    ),
    "pretrain": SetPlan("pretrain/audio", "pretrain/events.tsv", "strong", "train", ISOLATED, "sound"),
}


@dataclass(frozen=True)
class Block:
    """Clips `start` to `stop - 1` of one set."""

    name: str
    start: int
    stop: int

    def notes(self, out: Path) -> Path:
        """Return the path of the block's notes, {clip: its events}; written last, they mark a finished block."""
        return out / ".blocks" / f"{self.name}-{self.start:07d}.json"


def blocks(sizes: Mapping[str, int]) -> list[Block]:
    """Return all blocks of a corpus, given the number of clips per set."""
    return [
        Block(name, start, min(start + BLOCK, size)) for name, size in sizes.items() for start in range(0, size, BLOCK)
    ]


def clip_name(plan: SetPlan, index: int, seconds: float) -> str:
    """Return the id of a clip.

    Args:
        plan: the set.
        index: number of the clip within the set.
        seconds: length of the clip.

    Returns:
        The id.
    """
    return f"{plan.prefix}{index:06d}" + plan.suffix.format(end=seconds)


def make_block(block: Block, out: Path, bank: Bank, *, seed: int, seconds: float, suffix: str) -> None:
    """Synthesise a block's clips, then write its notes.

    A clip's random numbers depend only on the seed, its set and its number.

    Args:
        block: the block.
        out: folder of the corpus.
        bank: the source of sounds.
        seed: of the corpus.
        seconds: length of the clips.
        suffix: of the audio files, `.wav` or `.flac`.
    """
    plan = PLANS[block.name]
    folder = out / plan.folder
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[Event]] = {}
    for index in range(block.start, block.stop):
        rng = np.random.default_rng([seed, zlib.crc32(block.name.encode()), index])
        labels = None
        if plan.mixing is ISOLATED:  # all labels equally often, one per clip
            labels = [bank.labels[index % len(bank.labels)]]
        audio, events = soundscape(bank, plan.split, plan.mixing, rng, seconds=seconds, labels=labels)
        clip = clip_name(plan, index, seconds)
        write_sound(folder / (clip + suffix), audio, RATE)
        found[clip] = events
    for clip in found:  # synced together, when the disk has already written most of them
        with (folder / (clip + suffix)).open("rb") as file:
            os.fsync(file.fileno())
    sync_folder(folder)
    write_text(block.notes(out), json.dumps(found))


def make_tables(
    out: Path, sizes: Mapping[str, int], labels: list[str], *, seconds: Mapping[str, float], suffix: str
) -> None:
    """Write the metadata of all sets from the blocks' notes.

    Args:
        out: folder of the corpus.
        sizes: {set: number of clips}.
        labels: the classes.
        seconds: {set: length of its clips}.
        suffix: of the audio files, `.wav` or `.flac`.
    """
    for name, size in sizes.items():
        if not size:
            continue
        plan = PLANS[name]
        events: dict[str, list[Event]] = {}
        for block in blocks({name: size}):
            for clip, rows in json.loads(block.notes(out).read_text()).items():
                events[clip] = [Event(*row) for row in rows]
        durations = dict.fromkeys(events, seconds[name])
        table = out / plan.table
        if plan.kind == "unlabelled":
            write_tsv(table, ["filename"], ([clip + suffix] for clip in sorted(events)))
        elif plan.kind == "weak":
            tags = {clip: tuple(dict.fromkeys(event.label for event in found)) for clip, found in events.items()}
            write_tags_tsv(table, tags, suffix)
        else:
            write_events_tsv(table, events, suffix, silent=True)
            if name == "validation":  # of DESED's sets, only this one has a table of durations
                write_durations_tsv(table.with_name("validation_durations.tsv"), durations, suffix)
        if name == "pretrain":
            folder = out / plan.folder
            write_scp(table.with_name("wav.scp"), {clip: str((folder / (clip + suffix)).resolve()) for clip in events})
            write_durations_tsv(table.with_name("durations.tsv"), durations, suffix)
    for tables in ("metadata", "pretrain"):
        write_text(out / tables / "labels.txt", "".join(f"{label}\n" for label in labels))


def missing(wanted: list[Block], out: Path) -> Iterator[Block]:
    """Return the blocks that are not finished yet."""
    return (block for block in wanted if not block.notes(out).exists())
