"""Sources of a corpus's parts: a recipe's table of records, and its table of copies kept by others."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from sed.data.download.hosts import ARCHIVE, HOSTS, host_of
from sed.errors import UserError
from sed.input_files import read_text

COLUMNS = ["part", "source", "file", "into", "holds"]
COPY_COLUMNS = ["part", "use", "terms"]
USES = ("any", "research")


@dataclass(frozen=True)
class Row:
    """One file of a part: where it is from, and where it (or, with `holds`, what it unpacks to) goes.

    A file with `*` stands for all that fit; each goes below the folder `into`, under the name that it has.
    """

    part: str
    source: str
    file: str
    into: str
    holds: tuple[str, ...] = ()
    instead: Row | None = None  # the row that stands in when this one cannot be had
    pattern: str = ""  # of the row that this one was made of, which has a folder of its own for what it downloads

    @property
    def page(self) -> str:
        """Return the address of the record's page for people."""
        kind, _, name = self.source.partition(":")
        return name if kind == "or" else HOSTS[kind].page(name)

    @property
    def archive(self) -> str:
        """Return the path of the download, below archives/."""
        if self.file == ARCHIVE:
            return f"{self.source.partition(':')[2]}.zip"  # as Zenodo calls it
        return f"{self.part}/{self.file}" if self.pattern else self.file

    @property
    def folder(self) -> str:
        """The folder of the record that has to be listed to find it; empty for the record's own files."""
        return (self.pattern or self.file).partition("*")[0].rpartition("/")[0]

    def fits(self, name: str) -> bool:
        """Return whether a file of the record belongs to this row."""
        return fnmatchcase(name, self.file) if "*" in self.file else name in (self.file, self.archive)

    def of(self, name: str) -> Row:
        """Return the row of one file that this row's pattern fits."""
        place = name.removeprefix(f"{self.folder}/") if self.folder else name
        into = self.into if self.holds else f"{self.into}/{place}"
        return dataclasses.replace(self, file=name, into=into, pattern=self.file)


def _rows(path: Path, columns: list[str], like: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, fields) of a table, less remarks; UserError for another header, or a row of other fields."""
    try:
        lines = read_text(path).splitlines()
    except FileNotFoundError:
        raise UserError(f"{path}: no such table of records (see local/{like})") from None
    header = False
    for number, line in enumerate(lines, 1):
        if line.startswith("#") or not line.strip():
            continue
        fields = line.split("\t")
        if not header and fields != columns:
            raise UserError(f"{path}:{number}: the columns are {' '.join(columns)}, tab-separated (see local/{like})")
        if header:
            yield number, fields
        header = True


def read_records(path: Path) -> dict[str, list[Row]]:
    """Read a table of records (local/*_records.tsv) as {part: its files}; UserError naming the line."""
    parts: dict[str, list[Row]] = {}
    for number, fields in _rows(path, COLUMNS, "desed_records.tsv"):
        if len(fields) != len(COLUMNS) or not _is_record(fields[1], fields[2], fields[3]):
            kinds = "|".join(f"{kind}:" for kind in (*HOSTS, "or"))
            raise UserError(f"{path}:{number}: not a record (part, {kinds}, file, place, holds)")
        part, source, file, into, holds = fields
        row = Row(part, source, file, into, () if holds == "-" else tuple(holds.split(",")))
        files = parts.setdefault(part, [])
        if not source.startswith("or:"):
            files.append(row)
        elif not files:
            raise UserError(
                f"{path}:{number}: an 'or:' row stands in for the row of its part above it: there is none "
                "(put it below one)"
            )
        else:
            files[-1] = dataclasses.replace(files[-1], instead=row)
    return parts


def _is_record(source: str, file: str, into: str) -> bool:
    if any(Path(path).is_absolute() or ".." in path.split("/") for path in (file, into)):
        return False
    if source.startswith("or:"):
        return True
    try:
        host, name = host_of(source)
    except KeyError:
        return False
    return host.name.fullmatch(name) is not None


@dataclass(frozen=True)
class Copy:
    """Terms of a part that holds others' copies of the recordings: any use, or research only."""

    use: str
    terms: str


def read_copies(path: Path) -> dict[str, Copy]:
    """Read a table of copies (local/desed_copies.tsv) as {part: its terms}; UserError naming the line."""
    copies: dict[str, Copy] = {}
    for number, fields in _rows(path, COPY_COLUMNS, "desed_copies.tsv"):
        if len(fields) != len(COPY_COLUMNS) or fields[1] not in USES or fields[0] in copies:
            raise UserError(f"{path}:{number}: not a copy (part, {'|'.join(USES)}, terms; each part once)")
        copies[fields[0]] = Copy(*fields[1:])
    return copies
