"""Tables of downloads: the files of each part of a corpus, and the terms of those parts that others have published.

A part is what is downloaded and finished as a whole; `--parts` of local/download.sh names parts. Files are in
local/<corpus>_records.tsv, terms in local/<corpus>_copies.tsv; those of DESED explain their columns.
"""

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
    """One file of a part, or with `*` in `file` all files of a record that match.

    Its path in the corpus is `into`; below the folder `into` for a pattern; with `holds`, the content of the archive is
    moved there.
    """

    part: str
    source: str
    """`<host>:<name of a record>`; of a fallback, `or:<address>`"""
    file: str
    """path in the record, or a pattern"""
    into: str
    holds: tuple[str, ...] = ()
    """for an archive: names of which its root folder has at least one"""
    instead: Row | None = None
    """fallback if this file cannot be downloaded"""
    pattern: str = ""
    """for a file that a pattern matched: the pattern"""
    is_ambiguous: bool = False
    """whether the table has a file of the same name from another record"""

    @property
    def page(self) -> str:
        """The address of the record's page for people."""
        kind, _, name = self.source.partition(":")
        return name if kind == "or" else HOSTS[kind].page(name)

    @property
    def archive(self) -> str:
        """The path of the download, below archives/, in a folder of the part for patterns and ambiguous names."""
        if self.file == ARCHIVE:
            return f"{self.source.partition(':')[2]}.zip"  # the name that Zenodo gives it
        return f"{self.part}/{self.file}" if self.pattern or self.is_ambiguous else self.file

    @property
    def folder(self) -> str:
        """The folder of the record that is listed to find the file; "" for the whole record."""
        return (self.pattern or self.file).partition("*")[0].rpartition("/")[0]

    def fits(self, name: str) -> bool:
        """Return whether the name of a downloaded file (its path in the record, or `archive`) is this row's."""
        return fnmatchcase(name, self.file) if "*" in self.file else name in (self.file, self.archive)

    def of(self, name: str) -> Row:
        """Return the row of one file that this row's pattern matches."""
        below = name.removeprefix(f"{self.folder}/") if self.folder else name
        into = self.into if self.holds else f"{self.into}/{below}"
        return dataclasses.replace(self, file=name, into=into, pattern=self.file)


def _rows(path: Path, columns: list[str], like: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, fields) of a table without its comments; raise UserError for another header.

    Args:
        path: the table.
        columns: the expected header.
        like: name of a table in local/ to refer to in messages.
    """
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
    """Read a table of records (local/*_records.tsv) as {part: its files}; errors name the line."""
    parts: dict[str, list[Row]] = {}
    for number, fields in _rows(path, COLUMNS, "desed_records.tsv"):
        if len(fields) != len(COLUMNS) or not _is_record(fields[1], fields[2], fields[3]):
            kinds = "|".join(f"{kind}:" for kind in (*HOSTS, "or"))
            raise UserError(f"{path}:{number}: not a record (part, {kinds}, file, into, holds; relative paths)")
        part, source, file, into, holds = fields
        row = Row(part, source, file, into, () if holds == "-" else tuple(holds.split(",")))
        files = parts.setdefault(part, [])
        if not source.startswith("or:"):
            if any(other.file == file and other.source != source for other in files):
                raise UserError(
                    f"{path}:{number}: part {part} has {file} from another record already (make it another part)"
                )
            files.append(row)
        elif not files:
            raise UserError(
                f"{path}:{number}: an 'or:' row stands in for the row of its part above it: there is none "
                "(put it below the row that it replaces)"
            )
        elif files[-1].instead is not None:
            raise UserError(f"{path}:{number}: a second 'or:' row for {files[-1].file} (keep one)")
        else:
            files[-1] = dataclasses.replace(files[-1], instead=row)
    sources: dict[str, set[str]] = {}
    for row in (row for files in parts.values() for row in files):
        sources.setdefault(row.archive, set()).add(row.source)
    return {
        part: [dataclasses.replace(row, is_ambiguous=len(sources[row.archive]) > 1) for row in files]
        for part, files in parts.items()
    }


def _is_record(source: str, file: str, into: str) -> bool:
    """Return whether paths are relative and the source has the form that its host requires."""
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
    """Terms of a part that is a copy of the corpus's recordings, published by others."""

    use: str
    """purposes that the terms allow: `any`, or `research` only"""
    terms: str
    """the terms, in a few words"""


def read_copies(path: Path) -> dict[str, Copy]:
    """Read a table of copies (local/desed_copies.tsv) as {part: its terms}; errors name the line."""
    copies: dict[str, Copy] = {}
    for number, fields in _rows(path, COPY_COLUMNS, "desed_copies.tsv"):
        if len(fields) != len(COPY_COLUMNS) or fields[1] not in USES or fields[0] in copies:
            raise UserError(f"{path}:{number}: not a copy (part, {'|'.join(USES)}, terms; each part once)")
        copies[fields[0]] = Copy(*fields[1:])
    return copies
