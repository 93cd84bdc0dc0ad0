"""Refuse a folder that holds results on another soundbank: one with other numbers of sources or recordings.

usage: python3 -m local.real_sounds.soundbank sources.json results

sources.json is stage 0's (`sed.bin.split_soundbank --count`). egs/real_sounds/results holds the repository's results.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sed.cli import entry
from sed.config import Parser
from sed.errors import UserError


@entry
def main() -> None:
    """Compare, and say nothing if the folder can take the results."""
    p = Parser(__doc__.split("\n", 1)[0])
    p.add_argument("sources", type=Path, help="sources.json of stage 0")
    p.add_argument("results", type=Path, help="folder of runs.jsonl and corpus.json; it need not exist")
    args = p.parse_args()
    from sed.input_files import read_json

    check_soundbank(args.results, read_json(args.sources, remedy="make it again by sed.bin.split_soundbank"))


def check_soundbank(folder: Path, sources: Mapping[str, Any]) -> None:
    """Raise UserError if the results in a folder are of another soundbank, or its corpus.json is damaged.

    Args:
        folder: folder of results, with corpus.json, if any.
        sources: {split: {label: [number of sources, such as uploads, number of recordings]}}; empty: not known, so that
            nothing is refused.
    """
    from sed.evaluation.reports.seeds.store import RUNS
    from sed.input_files import misfit, read_json

    corpus = folder / "corpus.json"
    if not (sources and corpus.is_file() and (folder / RUNS).is_file()):
        return
    remedy = "make it again, or take it from the repository"
    stored = read_json(corpus, remedy=remedy)
    if wrong := misfit(stored, {"sources": dict}):
        raise UserError(f"{corpus}: not the numbers of a corpus: {wrong} ({remedy})")
    if stored.get("sources") and stored["sources"] != sources:
        raise UserError(
            f"{folder}: holds results on another soundbank, which cannot be compared with these (choose another "
            "folder: --work of run.sh)"
        )


if __name__ == "__main__":
    main()
