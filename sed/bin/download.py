"""Stage 0: download a corpus into its own layout; complete files are kept.

usage: python3 -m sed.bin.download [options] local/NAME_records.tsv downloads

NAME is the corpus; local/desed_records.tsv explains the columns. NAME_copies.tsv beside the table has the terms of
those parts that are copies published by others than the corpus's authors.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tqdm.contrib.logging import logging_redirect_tqdm

from sed.cli import entry, setup_logging
from sed.config import Parser, words
from sed.data.download.fetch import Fetcher
from sed.data.download.hosts import Hosts
from sed.data.download.parts import Parts
from sed.data.download.sources import Copy, read_copies, read_records
from sed.errors import UserError
from sed.files import lock
from sed.progress import Meter

ELSEWHERE = "--mirror names another server, --archives a folder with a good copy"


@entry
def main() -> None:
    parser = Parser(__doc__.splitlines()[0])
    parser.add_argument("records", type=Path, help="table of the corpus's records")
    parser.add_argument("downloads", type=Path, help="folder of the corpus, created when missing")
    parser.option(
        "parts", [], "parts to download, comma-separated (default: all but research-only copies)", type=_parts
    )
    parser.option(
        "research_only",
        [],
        "parts to add whose terms allow only research, comma-separated",
        type=_parts,
    )
    parser.option("mirror", "", "URL of a server to use instead of all hosts; paths on a host are appended to it")
    parser.option("archives", [], "folder of files that were downloaded by hand", type=Path, action="append")
    parser.option("ast", "", "pretrained AST checkpoint to link instead of downloading one")
    parser.option("keep_archives", True, "keep archives after unpacking")
    parser.option("nj", 3, "number of parts downloaded at once", least=1, most=16)
    parser.option("timeout", 60.0, "seconds without data after which a connection counts as stalled", least=0.1)
    parser.option("retries", 8, "most new attempts in a row without progress; 2 if the host never answered", least=0)
    parser.option("backoff", 1.0, "longest wait after a first failure, in seconds; doubles up to a minute", least=0.0)
    args = parser.parse_args()
    log = setup_logging()

    table = read_records(args.records)
    beside = args.records.with_name(args.records.name.replace("_records", "_copies"))
    # `beside` is the table itself if its name has no `_records`
    copies = read_copies(beside) if beside != args.records and beside.exists() else {}
    free = [part for part in table if part not in copies or copies[part].use != "research"]
    wanted = _with_copies(args.parts or free, args.research_only, copies)
    if unknown := [part for part in wanted if part not in table]:
        raise UserError(f"--parts: no part '{unknown[0]}' (there are {', '.join(table)})")
    for folder in args.archives:
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder (--archives names a folder of downloaded files)")
    parts = {part: table[part] for part in wanted}
    with lock(args.downloads):
        if args.ast:
            link_ast(Path(args.ast), args.downloads)
        # A checkpoint that the user linked, now or in an earlier run, is not replaced by a download.
        if args.ast or any(name.is_symlink() and name.exists() for name in args.downloads.glob("ast.*")):
            parts.pop("ast", None)
        fetcher = Fetcher(
            meter=Meter(), timeout=args.timeout, retries=args.retries, backoff=args.backoff, elsewhere=ELSEWHERE
        )
        hosts = Hosts(fetcher, args.mirror)
        stage = Parts(
            args.downloads,
            fetcher=fetcher,
            hosts=hosts,
            archives=args.archives,
            keep_archives=args.keep_archives,
            copies=copies,
        )
        missing = stage.missing(parts)
        if there := [part for part in parts if part not in missing]:
            log.info("%s: there already: %s", args.downloads, ", ".join(there))
        with logging_redirect_tqdm([log]):
            stage.get(missing, jobs=args.nj)


def _parts(text: str) -> list[str]:
    return words(text) if text.strip() else []


def _with_copies(parts: list[str], research: list[str], copies: Mapping[str, Copy]) -> list[str]:
    """Return the parts to download; UserError for a part for research only that --research-only does not name."""
    for part in research:
        if part not in copies or copies[part].use != "research":
            names = ", ".join(name for name, copy in copies.items() if copy.use == "research")
            raise UserError(f"--research-only: no copy '{part}' (there are: {names or 'none'})")
    for part in parts:
        if part in copies and copies[part].use == "research" and part not in research:
            raise UserError(f"--parts: {part} is for research only: {copies[part].terms} (--research-only {part})")
    return list(dict.fromkeys([*parts, *research]))


def link_ast(source: Path, downloads: Path) -> None:
    """Link the user's checkpoint as `downloads/ast.<suffix>`, instead of links of earlier runs.

    Raises:
        UserError: it is not there, has another suffix, or `downloads` has another checkpoint as a file, not as a link.
    """
    if not source.is_file():
        raise UserError(f"{source}: no such file (--ast names a checkpoint: .pth, .pt or .safetensors)")
    suffix = {".pt": ".pth", ".pth": ".pth", ".safetensors": ".safetensors"}.get(source.suffix)
    if suffix is None:
        raise UserError(f"{source}: not a checkpoint's name (.pth, .pt or .safetensors)")
    target, link = source.resolve(), downloads / f"ast{suffix}"
    places = (downloads / "ast.pth", downloads / "ast.safetensors")
    for path in places:
        if path.exists() and not path.is_symlink() and path.resolve() != target:
            raise UserError(f"{path}: there already, and not a link (move it away to use {source}, or omit --ast)")
    for path in places:
        if path.is_symlink():
            path.unlink()
    if link.resolve() != target:
        link.symlink_to(target)


if __name__ == "__main__":
    main()
