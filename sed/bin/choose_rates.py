"""Choose the learning rates of each config by PSDS1; print a table and write a JSON file.

usage: python3 -m sed.bin.choose_rates [options] results rates.json

results/runs.jsonl has one line per training of a config named <config>_lr<head>_<encoder>, scored on a split of the
training sources (a source: the recordings of one origin, such as an upload) that it was not trained on. The chosen
rates have the highest PSDS1, averaged over seeds; unlike the event-based F1, it depends on no decision threshold. With
--best the table goes to standard error, and the name of that config's best experiment to standard output.
"""

from __future__ import annotations

import re
import statistics
import sys
from pathlib import Path
from typing import Any

from sed.cli import entry
from sed.config import Parser, output_file
from sed.errors import UserError

NAME = re.compile(r"(.+)_lr[-+.\deE]+_[-+.\deE]+")
"""name of a training with other rates; `_encoder_lr_0.0003`, of run.sh --vary, does not match"""


@entry
def main() -> None:
    p = Parser(__doc__.split("\n", 1)[0])
    p.add_argument("results", type=Path, help="folder of runs.jsonl, with results of <config>_lr<head>_<encoder>")
    p.add_argument("output", type=output_file, help="JSON file to write")
    p.option(
        "best",
        "",
        "print the name of this config's best experiment, without seed, such as ast_sed_lr1e-3_1e-4; nothing if only "
        "other configs have results",
    )
    args = p.parse_args()
    from sed.evaluation.metrics.table import shown_in
    from sed.evaluation.reports.seeds.store import read_runs
    from sed.files import write_json

    table = sys.stderr if args.best else sys.stdout

    columns = shown_in("main")
    runs: dict[str, dict[tuple[float, float], list[dict]]] = {}
    for run in read_runs(args.results):
        name = NAME.fullmatch(run["config"])
        if run.get("run") or not name:  # `run` names an earlier, archived run of the recipe
            continue
        lacking = [key for key in ("steps", *(column.key for column in columns)) if run.get(key) is None]
        lacking += [key for key in ("lr", "encoder_lr") if key not in run.get("settings", {})]
        if lacking:
            raise UserError(f"{args.results}: {run['config']}: a result without {lacking[0]} (make it again)")
        rates = (run["settings"]["lr"], run["settings"]["encoder_lr"])
        runs.setdefault(name[1], {}).setdefault(rates, []).append(run)
    if not runs:
        raise UserError(f"{args.results}: no results of several rates (run.sh --rates makes them)")
    chosen = {}
    print(
        f"{'config':<16}{'head':>10}{'encoder':>10}{''.join(f'{column.column:>10}' for column in columns)}", file=table
    )
    for config, tried in runs.items():
        rows = []
        for (head, encoder), seeds in sorted(tried.items()):
            row: dict[str, Any] = {"lr": head, "encoder_lr": encoder, "seeds": [run["seed"] for run in seeds]}
            for key in (column.key for column in columns):
                row[key] = round(statistics.fmean(run[key] for run in seeds), 5)
            rows.append(row)
        best = max(rows, key=lambda row: row["psds1"])
        for row in rows:
            mark = "  <- chosen" if row is best else ""
            numbers = "".join(f"{column.plain(row[column.key]):>10}" for column in columns)
            print(f"{config:<16}{row['lr']:>10g}{row['encoder_lr']:>10g}{numbers}{mark}", file=table)
        # of the first training: those of a config differ only in rates and seed
        steps = next(run["steps"] for seeds in tried.values() for run in seeds)
        if config == args.best:
            print(tried[best["lr"], best["encoder_lr"]][0]["config"])
        chosen[config] = {"lr": best["lr"], "encoder_lr": best["encoder_lr"], "steps": steps, "tried": rows}
    write_json(args.output, chosen)


if __name__ == "__main__":
    main()
