"""Split a soundbank's training sources into train and validation, so that tuning leaves its validation unseen."""

from __future__ import annotations

import csv
import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from sed.data.recordings import recordings_of
from sed.errors import UserError
from sed.input_files import read_text

log = logging.getLogger("sed.soundbank")

ATTRIBUTION = "ATTRIBUTION.tsv"
COLUMNS = ("source", "author")


def sources(bank: Path) -> dict[str, str]:
    """Return {file relative to `bank`: its origin}: ATTRIBUTION.tsv's source, else its author, else the file."""
    files = [str(path.relative_to(bank)) for path in recordings_of(bank, log)]
    table = bank / ATTRIBUTION
    known: dict[str, str] = {}
    if table.is_file():
        for row in csv.DictReader(read_text(table).splitlines(), delimiter="\t"):
            source = next((row[key] for key in COLUMNS if row.get(key)), None)
            if row.get("file") and source:
                known[row["file"]] = source
    return {file: known.get(file, file) for file in files}


def split(files: Mapping[str, str], share: float, seed: int) -> dict[str, str]:
    """Assign files to train or validation, keeping sources whole; a label with two sources or more is on both sides.

    A label is a folder below a role (`train/foreground/Dog`). Its sources are drawn until `share` of its files are in
    validation; a source that an earlier label has placed stays where it is.

    Args:
        files: {file of `train/`: its source}.
        share: of each label's files, for validation.
        seed: of the draws.

    Returns:
        {file: train or validation}.
    """
    labels: dict[str, dict[str, list[str]]] = {}
    for file, source in sorted(files.items()):
        parts = Path(file).parts
        if parts[0] == "train" and len(parts) >= 4:
            labels.setdefault("/".join(parts[1:3]), {}).setdefault(source, []).append(file)
    if not labels:
        raise UserError("no recordings in train/<role>/<label>/ (a soundbank is expected)")
    side: dict[str, str] = {}
    rng = np.random.default_rng(seed)
    for label in sorted(labels, key=lambda name: (not name.startswith("foreground/"), len(labels[name]), name)):
        mine = labels[label]
        order = [sorted(mine)[at] for at in rng.permutation(len(mine))]
        free = [source for source in order if source not in side]
        wanted = max(1.0, share * sum(map(len, mine.values())))
        free.sort(
            key=lambda source: len(mine[source]) > wanted
        )  # a source that holds most of its label is moved only if needed
        have = float(sum(len(mine[s]) for s in order if side.get(s) == "validation"))
        kept = sum(1 for source in order if side.get(source) == "train")
        for at, source in enumerate(free):
            others = kept + len(free) - at - 1
            place = "validation" if have < wanted and others > 0 else "train"
            side[source] = place
            have += len(mine[source]) if place == "validation" else 0
            kept += place == "train"
    return {file: side[source] for mine in labels.values() for source, found in mine.items() for file in found}


def check_replaceable(bank: Path, out: Path) -> None:
    """Raise UserError if the output folder holds files that `write` did not make, or is `bank` itself."""
    if bank.resolve().is_relative_to(out.resolve()):
        raise UserError(f"{out}: holds the soundbank that is to be split (choose another folder)")
    if not (out.exists() or out.is_symlink()):
        return
    if out.is_symlink() or not out.is_dir():
        raise UserError(f"{out}: exists and is no folder (choose another name)")
    strange = [path for path in out.iterdir() if path.name not in ("train", "validation", ATTRIBUTION)]
    walked = (found for side in ("train", "validation") for found in os.walk(out / side))
    below = (Path(folder, name) for folder, _, files in walked for name in files)
    for path in (*strange, *(path for path in below if not path.is_symlink())):
        raise UserError(f"{out}: holds {path.relative_to(out)}, which no split has written (choose another folder)")


def write(bank: Path, out: Path, sides: Mapping[str, str]) -> None:
    """Write a bank of symbolic links to `bank`'s train, and its attribution with the files' new names.

    Args:
        bank: the soundbank.
        out: folder to write.
        sides: {file: train or validation}, from `split`.

    Raises:
        UserError: `out` holds files that are not of an earlier split.
    """
    check_replaceable(bank, out)
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    names: dict[str, str] = {}
    for file, side in sides.items():
        names[file] = str(Path(side, *Path(file).parts[1:]))
        link = part / names[file]
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath((bank / file).resolve(), link.parent.resolve()))
    if (bank / ATTRIBUTION).is_file():
        with (bank / ATTRIBUTION).open(encoding="utf-8", newline="") as old:
            reader = csv.DictReader(old, delimiter="\t")
            rows = [{**row, "file": names[row["file"]]} for row in reader if row.get("file") in names]
            with (part / ATTRIBUTION).open("w", encoding="utf-8", newline="") as new:
                writer = csv.DictWriter(new, reader.fieldnames or [], delimiter="\t", lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
    if out.exists():
        shutil.rmtree(out)
    part.rename(out)


def counts(files: Mapping[str, str]) -> dict[str, dict[str, list[int]]]:
    """Return {split: {foreground label: [sources, files]}}."""
    found: dict[str, dict[str, dict[str, int]]] = {}
    for file, source in files.items():
        parts = Path(file).parts
        if len(parts) >= 4 and parts[1] == "foreground":
            here = found.setdefault(parts[0], {}).setdefault(parts[2], {})
            here[source] = here.get(source, 0) + 1
    return {
        name: {label: [len(by_source), sum(by_source.values())] for label, by_source in labels.items()}
        for name, labels in found.items()
    }
