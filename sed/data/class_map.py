"""Class maps: tables of which classes of a published detector's head make up each label.

The first line names the columns, class and label, a tab between; each further line is a row. A class may belong to
several labels, and a label has one or more classes. Lines that begin with `#` are comments.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sed.data.directory import read_labels
from sed.data.tables import read_lines
from sed.errors import UserError

COLUMNS = ["class", "label"]
EXAMPLE = "local/desed_class_map.tsv is one"
"""end of messages about a malformed table"""


@dataclass(frozen=True)
class ClassMap:
    """Labels, and the classes that each is made of: `members` (labels, classes) bool, columns in the head's order."""

    labels: list[str]
    members: np.ndarray


def read_class_map(path: str | Path, classes: Sequence[str], *, labels: str | Path | None = None) -> ClassMap:
    """Read a class map.

    Args:
        path: the table.
        classes: names of the head's classes, in its order.
        labels: labels.txt, which gives the labels and their order; None: the labels of the table, in its order.

    Returns:
        The labels and the classes of each.

    Raises:
        UserError: a line is malformed, repeats another or names an unknown class or label, or a label has no class;
            names the file, and the line if there is one.
    """
    wanted = read_labels(labels) if labels else None
    seen: dict[tuple[str, str], int] = {}
    for number, name, label in _rows(path):
        where = f"{path}:{number}"
        if name not in classes:
            near = difflib.get_close_matches(name, classes, n=1)
            raise UserError(
                f"{where}: class '{name}' is none of the head's {len(classes)}"
                + (f" (did you mean '{near[0]}'?)" if near else " (names must be spelled as in the published model)")
            )
        if (name, label) in seen:
            raise UserError(f"{where}: '{name}' and '{label}' are on line {seen[name, label]} already (remove one)")
        if wanted is not None and label not in wanted:
            raise UserError(f"{where}: label '{label}' is not in {labels} (correct it, or remove the line)")
        seen[name, label] = number
    if not seen:
        raise UserError(f"{path}: no rows (write a class and its label per line; {EXAMPLE})")
    found = list(dict.fromkeys(label for _, label in seen))
    for number, text in read_lines(labels) if labels else ():
        label = text.strip()
        if label not in found:
            raise UserError(
                f"{labels}:{number}: label '{label}' has no class in {path} (add a line, or remove it here)"
            )
    order = wanted or found
    members = np.zeros((len(order), len(classes)), bool)
    for name, label in seen:
        members[order.index(label), classes.index(name)] = True
    return ClassMap(order, members)


def _rows(path: str | Path) -> Iterator[tuple[int, str, str]]:
    """Yield (line number, class, label) of the table."""
    header = False
    for number, line in read_lines(path):
        if line.startswith("#"):
            continue
        fields = [field.strip() for field in line.split("\t")]
        if not header:
            if fields != COLUMNS:
                raise UserError(f"{path}:{number}: the columns are class and label, a tab between ({EXAMPLE})")
            header = True
        elif len(fields) != len(COLUMNS) or not all(fields):
            raise UserError(f"{path}:{number}: not a class and its label, a tab between ({EXAMPLE})")
        elif "," in fields[1]:  # it separates the labels of a clip in tables of tags
            raise UserError(f"{path}:{number}: label '{fields[1]}' holds a comma (choose another name)")
        else:
            yield number, fields[0], fields[1]
