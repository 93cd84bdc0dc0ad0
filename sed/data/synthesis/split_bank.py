"""Split of a soundbank's training sources into train and validation, to tune without the soundbank's validation/."""

from __future__ import annotations

import csv
import logging
import os
import shutil
import unicodedata
from collections.abc import Iterable, Mapping
from io import StringIO
from pathlib import Path

import numpy as np

from sed.data.recordings import recordings_of
from sed.errors import UserError
from sed.input_files import read_text

log = logging.getLogger("sed.soundbank")

ATTRIBUTION = "ATTRIBUTION.tsv"
COLUMNS = ("source", "author")
"""columns of ATTRIBUTION that name a recording's source; the first that is not empty counts"""


def sources(bank: Path) -> dict[str, str]:
    """Return {file: its source}, for all recordings of a soundbank; files are relative to `bank`.

    The source is the `source` in ATTRIBUTION.tsv, else the `author`, else the file itself.
    """
    files = [str(path.relative_to(bank)) for path in recordings_of(bank, log)]
    table = bank / ATTRIBUTION
    known: dict[str, str] = {}
    if table.is_file():
        _, rows = _attribution(table)
        for row in _matched(rows, files):
            source = next((row[key] for key in COLUMNS if row.get(key)), None)
            if row["file"] and source:
                known[row["file"]] = source
        if strange := sorted(known.keys() - set(files)):
            log.warning(
                "%s: %d of its %d files are not in the soundbank, as %s", table, len(strange), len(known), strange[0]
            )
    return {file: known.get(file, file) for file in files}


def _attribution(table: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Return the columns and rows of ATTRIBUTION.tsv; raise UserError if it has no column `file`, or a broken row."""
    reader = csv.DictReader(StringIO(read_text(table, "utf-8-sig")), delimiter="\t")
    rows: list[dict[str, str]] = []
    try:
        columns = list(reader.fieldnames or [])
        if "file" not in columns:
            raise UserError(f"{table}:1: no column 'file' (it names each recording, relative to the soundbank)")
        for row in reader:
            rows.append({name: row[name] or "" for name in columns})
            if any("\n" in value for value in rows[-1].values()):  # it has swallowed the next lines
                raise csv.Error("a quotation mark without its pair")
    except csv.Error as error:
        # reader.line_num is that of the last whole row
        raise UserError(f"{table}: {error}, at or before line {reader.reader.line_num} (correct the row)") from None
    return columns, rows


def _matched(rows: Iterable[dict[str, str]], files: Iterable[str]) -> list[dict[str, str]]:
    """Return rows of ATTRIBUTION.tsv with each `file` as it is in `files`, if any of these is the same file.

    Tables may begin paths with `./`, and macOS decomposes letters with accents in names of files.
    """

    def usual(name: str) -> str:
        return unicodedata.normalize("NFC", os.path.normpath(name))

    same = {form: file for file in files for form in (usual(file), file)}
    return [{**row, "file": same.get(row["file"]) or same.get(usual(row["file"]), row["file"])} for row in rows]


def split(files: Mapping[str, str], share: float, seed: int) -> dict[str, str]:
    """Assign the files of `train/` to train or validation; all files of a source are assigned together.

    A label is a folder below a role (`train/foreground/Dog`). Labels are assigned one after the other, those of the
    foreground first, and among them those with the fewest sources, which leave the least choice. The sources of a label
    are drawn at random and assigned to validation until it has `share` of the label's files, sources with more files
    than that last; the others, and the only source of a label, are assigned to train. A source keeps the side that it
    was given with an earlier label. A label with two or more sources has files on both sides, unless all of them were
    assigned to one side with earlier labels.

    Args:
        files: {file: its source}, from `sources`; files outside of `train/<role>/<label>/` are left out.
        share: fraction of each label's files to assign to validation.
        seed: random seed.

    Returns:
        {file: "train" or "validation"}.

    Raises:
        UserError: there is no file in `train/<role>/<label>/`.
    """
    labels: dict[str, dict[str, list[str]]] = {}
    for file, source in sorted(files.items()):
        parts = Path(file).parts
        if parts[0] == "train" and len(parts) >= 4:
            labels.setdefault("/".join(parts[1:3]), {}).setdefault(source, []).append(file)
    if not labels:
        raise UserError("no recordings in train/<role>/<label>/ (a soundbank is expected)")
    sides: dict[str, str] = {}
    rng = np.random.default_rng(seed)
    for label in sorted(labels, key=lambda name: (not name.startswith("foreground/"), len(labels[name]), name)):
        by_source = labels[label]
        order = [sorted(by_source)[index] for index in rng.permutation(len(by_source))]
        unassigned = [source for source in order if source not in sides]
        wanted = max(1.0, share * sum(map(len, by_source.values())))
        # Sources with more files than validation wants come last, so that they are assigned to it only if needed.
        unassigned.sort(key=lambda source: len(by_source[source]) > wanted)
        validation_files = float(sum(len(by_source[source]) for source in order if sides.get(source) == "validation"))
        train_sources = sum(1 for source in order if sides.get(source) == "train")
        for index, source in enumerate(unassigned):
            left_for_train = train_sources + len(unassigned) - index - 1
            side = "validation" if validation_files < wanted and left_for_train > 0 else "train"
            sides[source] = side
            validation_files += len(by_source[source]) if side == "validation" else 0
            train_sources += side == "train"
    return {
        file: sides[source] for by_source in labels.values() for source, found in by_source.items() for file in found
    }


def check_replaceable(bank: Path, out: Path) -> None:
    """Raise UserError if `write` must not replace `out`.

    It contains or is `bank` or the current folder, is not a folder, or holds anything that `write` did not make.
    """
    if bank.resolve().is_relative_to(out.resolve()):
        raise UserError(f"{out}: holds the soundbank that is to be split (choose another folder)")
    if Path.cwd().is_relative_to(out.resolve()):  # the commands after this one would be in a removed folder
        raise UserError(f"{out}: is or holds the current folder, which would be replaced (choose another folder)")
    if not (out.exists() or out.is_symlink()):
        return
    if out.is_symlink() or not out.is_dir():
        raise UserError(f"{out}: exists and is not a folder (choose another name)")
    sides = ("train", "validation")
    strange = [
        path
        for path in out.iterdir()
        if path.name not in (*sides, ATTRIBUTION) or path.is_dir() != (path.name in sides)
    ]
    walked = (found for side in sides for found in os.walk(out / side))
    below = (Path(folder, name) for folder, _, files in walked for name in files)
    for path in (*strange, *(path for path in below if not path.is_symlink())):
        raise UserError(f"{out}: holds {path.relative_to(out)}, which no split has written (choose another folder)")


def write(bank: Path, out: Path, sides: Mapping[str, str]) -> None:
    """Write a soundbank of symbolic links to the files of `bank`, with its ATTRIBUTION.tsv under their new names.

    An earlier split in `out` is replaced.

    Args:
        bank: the soundbank.
        out: the folder to write.
        sides: {file: "train" or "validation"}, from `split`.

    Raises:
        UserError: `out` must not be replaced; see `check_replaceable`.
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
        columns, rows = _attribution(bank / ATTRIBUTION)
        with (part / ATTRIBUTION).open("w", encoding="utf-8", newline="") as new:
            writer = csv.DictWriter(new, columns, delimiter="\t", lineterminator="\n")
            writer.writeheader()
            kept = (row for row in _matched(rows, names) if row["file"] in names)
            writer.writerows({**row, "file": names[row["file"]]} for row in kept)
    if out.exists():
        shutil.rmtree(out)
    part.rename(out)


def counts(files: Mapping[str, str]) -> dict[str, dict[str, list[int]]]:
    """Return {"train" or "validation": {foreground label: [number of sources, number of files]}}, from `sources`."""
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
