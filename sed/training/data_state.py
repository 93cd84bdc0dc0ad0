"""Checksums of the dumped sets that a model was trained on, by which a later run finds that they have changed."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from sed.data.directory import read_scp
from sed.errors import UserError
from sed.input_files import read_bytes, read_json
from sed.seal import found_seal

log = logging.getLogger("sed.train")

TABLES = ("durations.tsv", "events.tsv", "tags.tsv", "soft.tsv")


def data_state(dump: Path, sets: Sequence[str]) -> dict[str, str]:
    """Return a checksum of what training reads of each set: labels.txt, its tables, its clips and their features.

    It is quick: of features only the seals of their shards are read, which cover the stored checksum of each clip
    (`sed.data.store`).

    Args:
        dump: folder of the dumped sets and labels.txt.
        sets: names of sets; those without a folder in `dump` are left out.

    Returns:
        The checksum of each set, eight hexadecimal digits.

    Raises:
        UserError: a list of clips or a table cannot be read.
        OSError: a shard cannot be read.
    """
    state = {}
    for name in sets:
        folder = dump / name
        if not folder.is_dir():
            continue
        places = read_scp(folder / "feats.scp")
        shards = dict.fromkeys(place.rpartition(":")[0] for place in places.values())
        seals = {shard: found_seal(folder / shard) for shard in shards}
        tables = [read_bytes(path) if path.exists() else None for path in (folder / table for table in TABLES)]
        facts = (read_bytes(dump / "labels.txt"), sorted(places.items()), seals, tables)
        state[name] = f"{zlib.crc32(repr(facts).encode('utf-8', 'surrogateescape')):08x}"
    return state


def warn_of_changes(exp: Path, dump: Path, sets: Sequence[str]) -> None:
    """Log which sets differ from those that a finished experiment was trained on.

    Sets that are gone count as unchanged, and so do all those of an experiment whose info.json lacks their state, as of
    earlier versions.

    Args:
        exp: the experiment's folder.
        dump: folder of the dumped sets and labels.txt.
        sets: names of the training sets.
    """
    with suppress(UserError, OSError):  # a damaged dump matters only to those who train on it
        info = read_json(exp / "info.json", remedy="train again")
        trained_on = info.get("data") if isinstance(info, dict) else None
        if not isinstance(trained_on, dict):
            return
        changed = [name for name, state in data_state(dump, sets).items() if trained_on.get(name) != state]
        if changed:
            log.warning(
                "%s: trained before these sets of %s changed: %s (--force trains again; a new folder, by --tag NAME of "
                "run.sh, trains beside it)",
                exp,
                dump,
                ", ".join(changed),
            )
