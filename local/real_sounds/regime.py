"""Choose real_sounds' training regimes of protocols A and B, from results on a split of the training sources.

usage: python3 -m local.real_sounds.regime results regime.json

A regime is clip pooling, number of epochs with a frozen encoder, and learning rates of head and encoder (REGIME).
results/runs.jsonl has a line for each training on the split (egs/real_sounds/tune.sh), of which those of AST systems
(`local.real_sounds.protocols`) are compared. A regime's PSDS1 is the mean over its seeds.

Protocol A has the same regime for all systems: linear softmax and the encoder at 1/20 of the head's learning rate, as
in the AST-SED paper (letters P and L in egs/desed/README.md), and the number of frozen epochs with the highest mean
PSDS1 of the systems. In protocol B each system has the regime of its own highest PSDS1.

Standard output has a line for each system and protocol: the config (`<system>` in A, `<system>_tuned` in B), a tab, and
an experiment on the split with that regime, on which tune.sh tunes the config's bounding boxes (cSEBBs).
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
"""protocol A's learning rate of the encoder relative to the head's, as stated in the paper"""
CLIP_POOLING = "linear_softmax"
"""protocol A's clip pooling: the paper's "softmax", in form L of egs/desed/README.md"""
REGIME = ("clip_pooling", "frozen_epochs", "lr", "encoder_lr")
Runs = Sequence[Mapping[str, Any]]


@entry
def main() -> None:
    p = Parser(__doc__.split("\n", 1)[0])
    p.add_argument("results", type=Path, help="folder of runs.jsonl of the split")
    p.add_argument("output", type=output_file, help="JSON file to write")
    args = p.parse_args()
    from sed.evaluation.reports.seeds.store import read_runs
    from sed.files import write_json

    # lines with `run` are archived results of an earlier run of the recipe
    chosen, experiments = choose([run for run in read_runs(args.results) if not run.get("run")])
    write_json(args.output, chosen)
    for config, experiment in experiments.items():
        print(f"{config}\t{experiment}")


def choose(runs: Runs) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the content of regime.json, and {config: experiment on the split} for both protocols.

    `runs` are results of single trainings; those with bounding boxes (cSEBBs) are left out, since they are further
    results of the same trainings.

    Raises:
        UserError: no number of frozen epochs was tried with all AST systems that have results.
    """
    from local.real_sounds.protocols import AST_SYSTEMS, TUNED, system_of

    # {system: {values of REGIME: its trainings}}
    regimes: dict[str, dict[tuple[Any, ...], list[Mapping[str, Any]]]] = {}
    for run in runs:
        system = system_of(run.get("settings", {}))
        if system and run.get("psds1") is not None and run.get("post_processing") != ["csebbs"]:
            regime = tuple(run["settings"][key] for key in REGIME)
            regimes.setdefault(system, {}).setdefault(regime, []).append(run)
    systems = [system for system in AST_SYSTEMS if system in regimes]
    paper = {system: _as_in_paper(regimes[system]) for system in systems}
    common = set.intersection(*(set(by_frozen) for by_frozen in paper.values())) if systems else set()
    if not common:
        raise UserError("no number of frozen epochs was tried with all systems (tune.sh trains them)")
    means = {frozen: fmean(_psds1(paper[system][frozen]) for system in systems) for frozen in common}
    best = max(sorted(means), key=lambda frozen: means[frozen])  # of equal ones, the fewest epochs
    own = {system: max(regimes[system].values(), key=_psds1) for system in systems}
    settings = paper[systems[0]][best][0]["settings"]  # of any system: tune.sh leaves `lr` alone
    mean_psds1 = {f"{frozen:g}": means[frozen] for frozen in sorted(means)}
    protocol_a = {key: settings[key] for key in REGIME} | {"mean_psds1": mean_psds1}
    protocol_b = {s: {key: own[s][0]["settings"][key] for key in REGIME} | {"psds1": _psds1(own[s])} for s in systems}
    tried = [
        {"system": system, **dict(zip(REGIME, regime, strict=True)), "seeds": [run["seed"] for run in trainings]}
        | {key: fmean(run[key] for run in trainings) for key in ("event_f1_macro", "psds1", "psds2")}
        for system in systems
        for regime, trainings in regimes[system].items()
    ]
    experiments = {system: _experiment(paper[system][best]) for system in systems}
    experiments |= {f"{system}{TUNED}": _experiment(own[system]) for system in systems}
    return {"protocol_a": protocol_a, "protocol_b": protocol_b, "tried": tried}, experiments


def _as_in_paper(regimes: Mapping[tuple[Any, ...], Runs]) -> dict[float, Runs]:
    """Return {frozen epochs: trainings} for protocol A's clip pooling and ratio of learning rates."""
    return {
        float(frozen): trainings
        for (pooling, frozen, lr, encoder_lr), trainings in regimes.items()
        if pooling == CLIP_POOLING and abs(encoder_lr / lr - RATIO) < 1e-6
    }


def _psds1(runs: Runs) -> float:
    """Return the mean PSDS1 over the seeds of one system and regime."""
    return fmean(run["psds1"] for run in runs)


def _experiment(runs: Runs) -> str:
    """Return the name of the experiment of the first seed."""
    return f"{runs[0]['config']}_seed{runs[0]['seed']}"


if __name__ == "__main__":
    main()
