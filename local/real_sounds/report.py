"""Collect results of egs/real_sounds in a folder, one line of JSON per config and seed, and write RESULTS.md from it.

usage: python3 -m local.real_sounds.report --exp exp --dump dump --sources sources.json results RESULTS.md
       python3 -m local.real_sounds.report results RESULTS.md         # from the collected results alone

A run is one campaign: all configs and seeds trained together. With --exp, the results in exp/<config>_seed<k>/<set> are
added to the newest run: to runs.jsonl (one line per config and seed), to margins.json (differences between two configs,
over clips and seeds) and to training.json (scores on training clips); those of other experiments stay, so that a run
can be collected in several calls. corpus.json and, with --tagging, tagging.json are replaced; without --sources,
corpus.json keeps those that it has. Without --exp, the options --dump, --sources, --tagging and --training-set have no
effect.

With --ways, ways.json is made from all trials in that folder: single trainings with other settings. --archive NAME
turns the newest run into an earlier one, of which only the metrics of the main tables are kept, before the results of
--exp are added; nothing is changed if these are missing or cannot be read.

remarks.json is written by hand, as sed.evaluation.reports.seeds.remarks describes. Trainings that it calls faulty are
left out of the comparison of runs; the tables of the newest run show them, with the remark as a footnote.

The page depends only on the files in the folder. gains.png is drawn from them; figure3.png, which steps/figure3.sh
draws and local/real_sounds_report.sh copies there, is shown if it exists.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sed.cli import entry, setup_logging
from sed.config import Parser, output_file
from sed.errors import UserError

PARTS = ("margins", "corpus", "tagging", "training", "ways", "remarks")  # JSON files beside runs.jsonl
PICTURES = ("figure3", "gains")
FINDING = "finding.md"  # the conclusion, written by hand


@entry
def main() -> None:
    p = Parser(__doc__.split("\n", 1)[0])
    p.add_argument("results", type=Path, help="folder of runs.jsonl and the files beside it")
    p.add_argument("output", type=output_file, help="RESULTS.md to write")
    p.option("exp", None, "folder of experiments to collect: <config>_seed<k>/<set>/result.json")
    p.option("dump", None, "folder of the dumped sets, for their sizes and the ground truth")
    p.option("sources", None, "sources.json of stage 0: numbers of sources and recordings of each label")
    p.option("ways", None, "folder of trials, single trainings with other settings: <name>/<set>/result.json")
    p.option("tagging", None, "JSON of sed.bin.evaluate_tagger")
    p.option("set", "validation", "the set that was scored")
    p.option(
        "training-set", "strong_real", "a training set; scores on it, collected if there are any, show underfitting"
    )
    p.option(
        "archive", None, "first turn the content of runs.jsonl into an earlier run of this name, main numbers only"
    )
    args = p.parse_args()
    logger = setup_logging()
    from local.real_sounds.page import Page
    from sed.evaluation.reports.seeds.remarks import without_faulty
    from sed.evaluation.reports.seeds.store import archive, by_run, read_runs, write_items
    from sed.evaluation.reports.seeds.trials import rows
    from sed.files import write_text

    if args.exp and not args.dump:
        raise UserError("--exp needs --dump, which holds the ground truth (give both)")
    if args.archive and not args.exp:
        raise UserError("--archive needs --exp, the results of the next run (give both, or leave --archive out)")
    # a file that cannot be read ends the command before anything is changed
    _parts(args.results)
    finding = _finding(args.results / FINDING)
    trials = rows(Path(args.ways).glob(f"*/{args.set}/result.json")) if args.ways else None
    collected = _collect(args) if args.exp else None
    if args.archive:
        archive(args.results, args.archive)
    if collected:
        _add(args.results, collected)
    if trials is not None:
        write_items(args.results / "ways.json", trials)
    runs, parts = by_run(read_runs(args.results)), _parts(args.results)
    results = runs.pop("", {})  # the newest run has no name; `runs` keeps the earlier ones
    if not results:
        raise UserError(f"{args.results}: no results (score first, and give --exp)")
    remarks = parts.get("remarks", [])
    earlier = {name: [one for one in remarks if one.get("run") == name] for name in runs}
    margins, corpus = parts.get("margins", []), parts.get("corpus", {})
    _draw(args.results / "gains.png", margins, corpus)
    folder = os.path.relpath(args.results, args.output.parent)
    page = Page(
        results=results,
        margins=margins,
        corpus=corpus,
        tagging=parts.get("tagging", {}),
        training=parts.get("training", {}),
        pictures={name: f"{folder}/{name}.png" for name in PICTURES if (args.results / f"{name}.png").is_file()},
        trials=parts.get("ways", []),
        finding=finding,
        remarks=[one for one in remarks if not one.get("run")],
        earlier={name: without_faulty(of_run, earlier[name]) for name, of_run in runs.items()},
    )
    write_text(args.output, page.markdown())
    logger.info("%s: %d results of %d configs", args.output, sum(map(len, results.values())), len(results))


def _finding(path: Path) -> str:
    from sed.input_files import read_text

    return read_text(path).strip() if path.is_file() else ""


def _parts(folder: Path) -> dict[str, Any]:
    """Return {name: content} of the JSON files beside runs.jsonl that exist."""
    from sed.evaluation.reports.seeds.remarks import check
    from sed.input_files import read_json

    paths = [folder / f"{name}.json" for name in PARTS]
    remedy = "make it again, or take it from the repository"
    parts = {path.stem: read_json(path, remedy=remedy) for path in paths if path.is_file()}
    if "remarks" in parts:
        check(folder / "remarks.json", parts["remarks"])
    return parts


def _draw(path: Path, margins: Sequence[Mapping[str, Any]], corpus: Mapping[str, Any]) -> None:
    """Draw the class-wise gains of AST-SED over AST-GRU, if there are results of both."""
    from sed.evaluation.reports.seeds.gains import gains
    from sed.files import replacing

    margin = next((one for one in margins if (one["a"], one["b"]) == ("ast_gru", "ast_sed")), None)
    figure = gains(margin, corpus.get("median_seconds", {})) if margin else None
    if figure is not None:
        with replacing(path) as part:
            # Without matplotlib's version, by which the file would differ although the picture does not.
            figure.savefig(part, format="png", dpi=120, metadata={"Software": None})


@dataclass(frozen=True)
class Collected:
    """Results of the experiments in `--exp`, to be added to the files."""

    runs: list[dict[str, Any]]
    """lines of runs.jsonl"""
    margins: list[dict[str, Any]]
    """differences between configs of these experiments"""
    training: dict[str, dict[str, Any]]
    """{config: metrics on training clips}"""
    corpus: dict[str, Any]
    tagging: dict[str, Any] | None
    """None: the file stays as it is"""


def _collect(args: Any) -> Collected:
    """Read the results of the experiments in `--exp`, compute margins between their configs, and write nothing."""
    from local.real_sounds.page import pairs
    from local.real_sounds.soundbank import check_soundbank
    from sed.data.tables import read_events_tsv
    from sed.evaluation.reports.seeds.reduce import find, margin, reduced

    truth = read_events_tsv(Path(args.dump) / args.set / "events.tsv")
    corpus = _corpus(args, truth)
    check_soundbank(args.results, corpus["sources"])
    found = find(Path(args.exp), args.set)
    if args.archive and not found:
        raise UserError(f"{args.exp}: no results on {args.set} (score first, or leave --archive out)")
    margins = [margin(pair.a, pair.b, found) for pair in pairs({*found})]
    return Collected(
        runs=[reduced(path, config, seed, truth) for config, seeds in found.items() for seed, path in seeds.items()],
        margins=[one for one in margins if one is not None],
        training=_on_training_clips(Path(args.exp), args.training_set),
        corpus=corpus,
        tagging=_tagging(Path(args.tagging)) if args.tagging and Path(args.tagging).is_file() else None,
    )


def _tagging(path: Path) -> dict[str, Any]:
    """Return the fields of `--tagging` that the page shows.

    Raises:
        UserError: it is not what `sed.bin.evaluate_tagger` writes.
    """
    from sed.input_files import Each, misfit, read_json

    remedy = "make it again by sed.bin.evaluate_tagger"
    shape = {"set": str, "clips": int, "map": (int, float), "ap": Each((int, float))}
    found = read_json(path, remedy=remedy)
    wrong = misfit(found, shape) or next((f"it has no {key}" for key in shape if key not in found), "")
    if wrong:
        raise UserError(f"{path}: not the scores of a tagger: {wrong} ({remedy})")
    return {key: found[key] for key in shape}


def _sources(path: str | Path) -> dict[str, Any]:
    """Return the content of `--sources`; UserError if it is not what `sed.bin.split_soundbank` writes."""
    from sed.input_files import Each, misfit, read_json

    remedy = "make it again by sed.bin.split_soundbank"
    found = read_json(path, remedy=remedy)
    if wrong := misfit(found, Each(Each([int]))):
        raise UserError(f"{path}: not the numbers of a soundbank's sources: {wrong} ({remedy})")
    return dict(found)


def _add(folder: Path, collected: Collected) -> None:
    """Add collected results to the files of a folder."""
    from sed.evaluation.reports.seeds.store import add_runs, write_items
    from sed.files import write_json

    add_runs(folder, collected.runs)
    write_items(folder / "margins.json", _margins(folder, collected.margins))
    # Scores on training clips stay too, but not those of a config that has been collected again without them.
    stored = _parts(folder).get("training", {})
    again = {run["config"] for run in collected.runs}
    training = {config: one for config, one in stored.items() if config not in again} | collected.training
    if training or stored:
        write_json(folder / "training.json", training)
    # `_collect` has refused to add results on another soundbank, if the sources are known
    sources = collected.corpus["sources"] or _parts(folder).get("corpus", {}).get("sources", {})
    write_json(folder / "corpus.json", {**collected.corpus, "sources": sources})
    if collected.tagging is not None:
        write_json(folder / "tagging.json", collected.tagging)


def _margins(folder: Path, new: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the stored and the new margins in the page's order.

    Of two for the same pair of configs, the one over more seeds is kept, since a call may collect only a part of the
    seeds; of two over equally many, the new one.
    """
    from local.real_sounds.page import pairs

    kept = {(one["a"], one["b"]): one for one in _parts(folder).get("margins", [])}
    for margin in new:
        compared = (margin["a"], margin["b"])
        if compared not in kept or len(margin["seeds"]) >= len(kept[compared]["seeds"]):
            kept[compared] = margin
    order = [(pair.a, pair.b) for pair in pairs({name for compared in kept for name in compared})]
    return [kept[compared] for compared in order if compared in kept]


def _on_training_clips(exp: Path, name: str) -> dict[str, dict[str, Any]]:
    """Return {config: metrics of its lowest seed on a training set}, for the configs that were scored on it.

    The recipe scores only its first seed there.
    """
    from sed.evaluation.reports.seeds.reduce import NUMBERS, find
    from sed.evaluation.result_file import read_result

    training = {}
    for config, seeds in find(exp, name).items():
        seed, path = min(seeds.items())
        result = read_result(path)
        training[config] = {"seed": seed, "set": result["set"], "clips": result["clips"]}
        training[config] |= {key: round(result[key], 5) for key in NUMBERS if result.get(key) is not None}
    return training


def _corpus(args: Any, truth: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Return the numbers of clips, the median length of each label's events in `truth`, and the content of `--sources`.

    `truth` is {clip: its events} of the set that was scored. `--sources` has, for each split of the soundbank, {label:
    [number of sources, number of recordings]}; a source, such as an upload, may have several recordings.
    """
    from sed.data.tables import read_durations_tsv

    lengths: dict[str, list[float]] = {}
    for events in truth.values():
        for event in events:
            lengths.setdefault(event.label, []).append(event.offset - event.onset)
    dump = Path(args.dump)
    # Sets of pseudo-labels consist of clips that other sets have already.
    sets = sorted(path.parent for path in dump.glob("*/durations.tsv") if not path.parent.name.startswith("pseudo"))
    return {
        "clips": {path.name: len(read_durations_tsv(path / "durations.tsv")) for path in sets},
        "median_seconds": {label: round(statistics.median(values), 3) for label, values in sorted(lengths.items())},
        "sources": _sources(args.sources) if args.sources else {},
    }


if __name__ == "__main__":
    main()
