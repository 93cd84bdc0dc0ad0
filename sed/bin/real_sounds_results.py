"""RESULTS.md of egs/real_sounds: reduce every seed's result to a small JSON, their margins to another, and show them.

usage: python3 -m sed.bin.real_sounds_results --exp exp --dump dump --sources sources.json results RESULTS.md
       python3 -m sed.bin.real_sounds_results results RESULTS.md         # from the JSON files alone

With --exp, results/<config>_seed<k>.json, margins.json, corpus.json and training.json are made of
exp/<config>_seed<k>/<set>; those of experiments that are not there stay. With --ways, ways.json is made of all that
folder's experiments. remarks.json is written by hand: a list of {"names": [<config>_seed<k>, ...], "text": ...}, on the
run where none is named; "faulty": true where these are no results of their configs. A folder in results/ is another
run, whose faulty trainings are left out. The page is always made of these files alone; gains.png is drawn of them, and
figure3.png shown where it is.
"""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sed.cli import entry, setup_logging
from sed.config import Parser, output_file
from sed.errors import UserError

APART = ("margins", "corpus", "tagging", "training", "ways", "remarks")
PICTURES = ("figure3", "gains")


@entry
def main() -> None:
    p = Parser(__doc__.split("\n", 1)[0])
    p.add_argument("results", type=Path, help="folder of the small JSON files")
    p.add_argument("output", type=output_file, help="RESULTS.md to write")
    p.option("exp", None, "folder of experiments to take in: <config>_seed<k>/<set>/result.json")
    p.option("dump", None, "folder of the dumped sets, for their sizes and the ground truth")
    p.option("sources", None, "sources.json of stage 0: sources and recordings of each label")
    p.option("ways", None, "folder of trainings of other ways: <name>/<set>/result.json")
    p.option("tagging", None, "JSON of sed.bin.evaluate_tagger")
    p.option("set", "validation", "the set that was scored")
    p.option("training-set", "strong_real", "a training set that the main systems were scored on too, where they were")
    args = p.parse_args()
    logger = setup_logging()
    from sed.evaluation.reports.seeds.page import report
    from sed.evaluation.reports.seeds.trials import without
    from sed.files import write_text

    if args.exp:
        if not args.dump:
            raise UserError("--exp needs --dump, which holds the ground truth")
        _take_in(args)
    if args.ways:
        from sed.evaluation.reports.seeds.trials import rows
        from sed.files import write_json

        write_json(args.results / "ways.json", rows(Path(args.ways).glob(f"*/{args.set}/result.json")))
    read, results = _read(args.results)
    if not results:
        raise UserError(f"{args.results}: no results (score first, and give --exp)")
    others = {}
    for folder in sorted(path for path in args.results.iterdir() if path.is_dir()):
        its, those = _read(folder)
        others[folder.name] = without(those, its.get("remarks", []))
    margins, corpus = read.get("margins", []), read.get("corpus", {})
    _draw(args.results / "gains.png", margins, corpus)
    beside = os.path.relpath(args.results, args.output.parent)
    pictures = {name: f"{beside}/{name}.png" for name in PICTURES if (args.results / f"{name}.png").is_file()}
    there = {name: read[name] for name in ("tagging", "training", "ways", "remarks") if name in read}
    page = report(results, margins, corpus, pictures=pictures, others=others, **there)
    write_text(args.output, page)
    logger.info("%s: %d results of %d configs", args.output, sum(map(len, results.values())), len(results))


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    """The files of a folder by their names, and of these the results: {config: its seeds in order}."""
    read = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}
    results: dict[str, list[dict[str, Any]]] = {}
    for name, content in read.items():
        if name not in APART:
            results.setdefault(content["config"], []).append(content)
    for runs in results.values():
        runs.sort(key=lambda run: run["seed"])
    return read, results


def _draw(path: Path, margins: Sequence[Mapping[str, Any]], corpus: Mapping[str, Any]) -> None:
    """The class-wise gains of AST-SED over AST-GRU, where both are there."""
    from sed.evaluation.reports.seeds.gains import gains
    from sed.files import replacing

    one = next((one for one in margins if (one["a"], one["b"]) == ("ast_gru", "ast_sed")), None)
    figure = gains(one, corpus.get("median_seconds", {})) if one else None
    if figure is not None:
        with replacing(path) as part:
            figure.savefig(part, format="png", dpi=120, metadata={"Software": None})


def _take_in(args: Any) -> None:
    """Write the JSON files of what `--exp` holds."""
    from sed.data.tables import read_durations_tsv, read_events_tsv
    from sed.evaluation.reports.seeds.page import pairs
    from sed.evaluation.reports.seeds.reduce import NUMBERS, find, margin, reduced
    from sed.evaluation.result_file import read_result
    from sed.files import write_json

    dump = Path(args.dump)
    truth = read_events_tsv(dump / args.set / "events.tsv")
    found = find(Path(args.exp), args.set)
    for config, seeds in found.items():
        for seed, path in seeds.items():
            write_json(args.results / f"{config}_seed{seed}.json", reduced(path, config, seed, truth))
    margins = [margin(a, b, found) for a, b in pairs(list(found))]
    write_json(args.results / "margins.json", [one for one in margins if one is not None])
    training = {}
    for config, seeds in find(Path(args.exp), args.training_set).items():
        seed, path = min(seeds.items())
        result = read_result(path)
        training[config] = {"seed": seed, "set": result["set"], "clips": result["clips"]}
        training[config] |= {key: round(result[key], 5) for key in NUMBERS if result.get(key) is not None}
    if training:
        write_json(args.results / "training.json", training)
    lengths: dict[str, list[float]] = {}
    for events in truth.values():
        for event in events:
            lengths.setdefault(event.label, []).append(event.offset - event.onset)
    sets = sorted(path.parent for path in dump.glob("*/durations.tsv") if not path.parent.name.startswith("pseudo"))
    corpus = {
        "clips": {path.name: len(read_durations_tsv(path / "durations.tsv")) for path in sets},
        "median_seconds": {label: round(statistics.median(values), 3) for label, values in sorted(lengths.items())},
        "sources": json.loads(Path(args.sources).read_text()) if args.sources else {},
    }
    write_json(args.results / "corpus.json", corpus)
    if args.tagging and Path(args.tagging).is_file():
        tagging = json.loads(Path(args.tagging).read_text())
        write_json(args.results / "tagging.json", {key: tagging[key] for key in ("set", "clips", "map", "ap")})


if __name__ == "__main__":
    main()
