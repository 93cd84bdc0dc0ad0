"""Choose what protocols A and B train with, from results on a split of the training sources.

usage: python3 -m local.real_sounds.regime results regime.json

results/runs.jsonl has a line for each training on the split. Protocol A has linear softmax and the encoder at 1/20 of
the head's rate (P), and as many frozen epochs, the same for all, as the AST systems have the highest PSDS1 with, on the
mean. In protocol B each system has the way in which its own PSDS1 is highest. Standard output is a line for each system
and protocol: the config (`<system>`, `<system>_tuned`) and the experiment on the split that is of its way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from sed.cli import entry
from sed.config import Parser, output_file
from sed.errors import UserError

RATIO = 0.05
"""of the encoder's rate to the head's (P)"""
CLIP_POOLING = "linear_softmax"
WAY = ("clip_pooling", "frozen_epochs", "lr", "encoder_lr")
Runs = Sequence[Mapping[str, Any]]


@entry
def main() -> None:
    p = Parser(__doc__.split("\n", 1)[0])
    p.add_argument("results", type=Path, help="folder of runs.jsonl of the split")
    p.add_argument("output", type=output_file, help="JSON file to write")
    args = p.parse_args()
    from sed.evaluation.reports.seeds.store import read_runs
    from sed.files import write_json

    chosen, experiments = choose([run for run in read_runs(args.results) if not run.get("run")])
    write_json(args.output, chosen)
    for config, experiment in experiments.items():
        print(f"{config}\t{experiment}")


def choose(runs: Runs) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what regime.json holds, and {config: experiment of the split} of both protocols.

    Raises:
        UserError: no number of frozen epochs was tried with all the AST systems there are.
    """
    from local.real_sounds.protocols import AST_SYSTEMS, TUNED, system_of

    ways: dict[str, dict[tuple[Any, ...], list[Mapping[str, Any]]]] = {}
    for run in runs:
        system = system_of(run.get("settings", {}))
        if system and run.get("psds1") is not None and run.get("post_processing") != ["csebbs"]:
            way = tuple(run["settings"][key] for key in WAY)
            ways.setdefault(system, {}).setdefault(way, []).append(run)
    systems = [system for system in AST_SYSTEMS if system in ways]
    papers = {system: _papers(ways[system]) for system in systems}
    common = set.intersection(*(set(found) for found in papers.values())) if systems else set()
    if not common:
        raise UserError("no number of frozen epochs was tried with all systems (tune.sh trains them)")
    means = {frozen: fmean(_psds1(papers[system][frozen]) for system in systems) for frozen in common}
    frozen = max(sorted(means), key=lambda one: means[one])
    own = {system: max(ways[system].values(), key=_psds1) for system in systems}
    first = papers[systems[0]][frozen][0]["settings"]
    protocol_a = {key: first[key] for key in WAY} | {"mean_psds1": {f"{one:g}": means[one] for one in sorted(means)}}
    protocol_b = {s: {key: own[s][0]["settings"][key] for key in WAY} | {"psds1": _psds1(own[s])} for s in systems}
    tried = [
        {"system": system, **dict(zip(WAY, way, strict=True)), "seeds": [run["seed"] for run in those]}
        | {key: fmean(run[key] for run in those) for key in ("event_f1_macro", "psds1", "psds2")}
        for system in systems
        for way, those in ways[system].items()
    ]
    experiments = {system: _experiment(papers[system][frozen]) for system in systems}
    experiments |= {f"{system}{TUNED}": _experiment(own[system]) for system in systems}
    return {"protocol_a": protocol_a, "protocol_b": protocol_b, "tried": tried}, experiments


def _papers(ways: Mapping[tuple[Any, ...], Runs]) -> dict[float, Runs]:
    """Return {frozen epochs: trainings} for the paper's clip pooling and ratio of rates."""
    return {
        float(frozen): those
        for (pooling, frozen, lr, encoder_lr), those in ways.items()
        if pooling == CLIP_POOLING and abs(encoder_lr / lr - RATIO) < 1e-6
    }


def _psds1(runs: Runs) -> float:
    return fmean(run["psds1"] for run in runs)


def _experiment(runs: Runs) -> str:
    return f"{runs[0]['config']}_seed{runs[0]['seed']}"


if __name__ == "__main__":
    main()
