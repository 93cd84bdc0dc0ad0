"""Train a detector.

usage: python3 -m sed.bin.train --config conf/ast_sed.yaml --pretrained ast.pth [options] dump exp/ast_sed

Writes exp/ast_sed/{config.yaml,train.log,tensorboard/,final.pt,info.json,.done}; with --select best also best.pt, with
--loggers jsonl log.jsonl, with --energy energy.json. During training there are checkpoints/ and progress.json, from
which the same command resumes a killed run. If .done exists, the experiment is left as it is. With N GPUs:
python3 -m sed.bin.launch --standalone --nproc-per-node N -m sed.bin.train ...
"""

from __future__ import annotations

import logging
import shutil
from argparse import Namespace
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sed.cli import entry, setup_logging
from sed.compatibility import complete
from sed.config import Parser, load_config, recipe_options, save_config
from sed.energy import FILE, add_energy, metered
from sed.errors import RunError, UserError
from sed.files import lock
from sed.parallel import launched
from sed.prediction.window_settings import WINDOWS
from sed.provenance import command_line, environment, git_hash
from sed.training.data_state import data_state, warn_of_changes
from sed.training.run_options import RUNTIME
from sed.training.schedule import scale_steps

if TYPE_CHECKING:
    import torch

    from sed.training.trainer import Trainer
    from sed.training.validation import Scorer


@entry
def main() -> None:
    parser = Parser(__doc__.split("\n\n")[0], config=True, resolve=_resolve)
    parser.add_argument("dump", type=Path, help="folder of dumped sets, with labels.txt")
    parser.add_argument("exp", type=Path, help="experiment folder to write")
    parser.section("front end")
    parser.options_of("sed.features.logmel")
    parser.section("model")
    parser.options_of("sed.models.detector")
    parser.options_of("sed.training.build")
    parser.options_of("sed.config.recipe_options")
    parser.section("this run")
    parser.option("step_scale", 1.0, "factor of the steps per epoch and of the warm-up", least=1e-6, in_config=False)
    parser.option(
        "energy",
        False,
        "measure kWh by codecarbon and count multiply-accumulates: energy.json in the experiment folder",
        in_config=False,
    )
    parser.option("force", False, "restart from scratch, replacing an existing experiment", in_config=False)
    args = parser.parse_args()

    rank, local_rank = launched("RANK", 0), launched("LOCAL_RANK", 0)
    config = {key: value for key, value in parser.settings(args).items() if key not in recipe_options.OPTIONS}
    defaults = {key: parser.get_default(key) for key in config}
    # An experiment of an earlier version is resumed with the behaviour of that version.
    earlier = {} if args.force else _values_before_options(args.exp, config, defaults)
    config |= earlier
    with lock(args.exp) if rank == 0 else nullcontext():
        if rank == 0 and args.force:
            _refuse_random(args.exp, config)
        elif rank == 0:
            _check_config(args.exp, config, defaults)
        if (args.exp / ".done").exists() and not args.force:
            if rank == 0:
                setup_logging()
                warn_of_changes(args.exp, args.dump, _sets(config))
                logging.getLogger("sed.train").info("%s: trained already (--force trains again)", args.exp)
                if (args.exp / "checkpoints").exists() and not (args.exp / "progress.json").exists():
                    from sed.training.loop import drop_resume_state

                    # Left by a run killed at the end of `mark_done`, which removes progress.json, writes .done and
                    # removes checkpoints/. Earlier versions ended with progress.json, and kept their checkpoints.
                    drop_resume_state(args.exp)
            return
        _train(args, config, earlier, local_rank)


def _resolve(config: dict[str, Any], args: Namespace) -> dict[str, Any]:
    """Return the config with a batch size for each training set (one holds for all), and with --step-scale applied."""
    if len(config["batch_sizes"]) == 1:
        config["batch_sizes"] = config["batch_sizes"] * len(config["train_sets"])
    return scale_steps(config, args.step_scale)


def _train(args: Namespace, config: dict[str, Any], earlier: dict[str, Any], local_rank: int) -> None:
    """Train; `earlier`: values of `config` whose options are newer than the experiment.

    They are left out of config.yaml: once stored, they would no longer count as newer, and a resume with the default
    would be refused. With --force, the earlier training is removed only when the new one is ready to run, so that a
    wrong option does not cost it.
    """
    import torch

    from sed.device import choose_device
    from sed.training import build
    from sed.training.distributed import joined

    make_scorer: Callable[..., Scorer] | None = None
    # The frame F1 needs no metric packages, which take a second to import.
    if config["valid_set"] and config["select_by"] != "frame_f1":
        from sed.evaluation.selection import Selection

        make_scorer = Selection

    if config["threads"]:
        torch.set_num_threads(config["threads"])
    device = choose_device(config["device"], local_rank)
    log = args.exp / "train.log"
    with joined(device) as world, ExitStack() as stack:
        if world.first:
            if args.force:
                log = args.exp / "train.log.new"
                log.unlink(missing_ok=True)
                stack.callback(log.unlink, missing_ok=True)  # after a failed start
            setup_logging(log)
            for key, value in earlier.items():
                logging.getLogger("sed.train").info("the experiment is older than option %s: keeps %s", key, value)
        trainer = None
        try:
            trainer = build.build_trainer(
                config, args.dump, args.exp, device=device, world=world, make_scorer=make_scorer
            )
            if world.first:  # only now: after a failed start, the folder must be free for another config
                if args.force:
                    _clear(args.exp)
                    log.replace(args.exp / "train.log")
                save_config(args.exp / "config.yaml", {k: v for k, v in config.items() if k not in earlier})
            world.barrier()  # no process resumes from checkpoints that --force removes
            data = data_state(args.dump, _sets(config))
            file = args.exp / FILE
            with metered(file, "training", again=True) if args.energy and world.first else nullcontext():
                trainer.run()
            if args.energy and world.first:
                add_energy(file, "training", _cost(args.exp, trainer))
        except torch.OutOfMemoryError:
            pass  # reported below, where no traceback holds the step's memory any more
        else:
            _mark_done(trainer, config, device, args.dump, data)
            return
        raise RunError(_out_of_memory(trainer, config))


def _cost(exp: Path, trainer: Trainer) -> dict[str, Any]:
    """Return the entries of a finished training in energy.json other than its kWh."""
    from sed.checkpoints.checkpoint import load_detector
    from sed.device import describe
    from sed.models.cost import multiply_accumulates, of_training

    model, clips = load_detector(exp), trainer.maker.clips * trainer.schedule.steps
    macs = multiply_accumulates(model.detector, model.front_end.mel_bins, training=True)
    consistent = trainer.training_step.consistent
    return {
        "epochs": trainer.schedule.epochs,
        "clips": clips,
        "macs": of_training(macs, clips, consistent=consistent),
        "macs_how": f"estimated: {'four' if consistent else 'three'} forward passes per clip",
        "device": describe(trainer.device),
    }


def _out_of_memory(trainer: Trainer | None, config: dict[str, Any]) -> str:
    """Return the error line, with the options with which a step fits into the GPU's memory."""
    message = f"GPU out of memory with --batch-sizes {','.join(map(str, config['batch_sizes']))}"
    if trainer is None:
        return f"{message} before the first step (--cache ram keeps the features off the GPU)"
    parts = trainer.parts_that_fit()
    if parts is None:
        return (
            f"{message}, and no equal parts of the batches fit (smaller batches or model, or --checkpoint-activations)"
        )
    present = config["accumulate"]
    asked = f" --accumulate {present}" if present > 1 else ""
    fitting = [size * present / parts for size in config["batch_sizes"]]  # with the present --accumulate
    sizes = f"{','.join(f'{size:g}' for size in fitting)} fits; " if all(map(float.is_integer, fitting)) else ""
    return (
        f"{message}{asked}: {sizes}--accumulate {parts} takes the same step in parts that fit (with --force, since "
        "this experiment has begun with other options)"
    )


def _sets(config: dict[str, Any]) -> list[str]:
    """Return the names of the sets that are trained on."""
    return [name for name, size in zip(config["train_sets"], config["batch_sizes"], strict=True) if size]


def _mark_done(
    trainer: Trainer, config: dict[str, Any], device: torch.device, dump: Path, data: dict[str, str]
) -> None:
    """Write info.json, the provenance of the model, and the marker that training has ended."""
    from sed.device import describe
    from sed.evaluation.pseudo import read_origins

    trainer.mark_done(
        {
            "command": command_line(),
            "git": git_hash(),
            "environment": environment(),
            "parameters": sum(p.numel() for p in trainer.training_step.student.parameters()),
            "seconds": round(trainer.seconds, 1),
            "clips_per_second": round(trainer.clips_per_second, 1),
            "device": describe(device),
            "processes": trainer.world.size,
            "step": trainer.schedule.steps,
            "seed": config["seed"],
            "pretrained": config["pretrained"],
            "weights": trainer.weights,
            "pseudo_labels": {
                **read_origins(dump, config["train_sets"]),
                **(trainer.maker.pseudo.origins if trainer.maker.pseudo else {}),
            },
            "sets": [*data],  # those that were there: missing_sets (`sed.training.build`)
            "data": data,
            "best_step": trainer.best_step,
            "best_score": trainer.best_score,
        }
    )


def _values_before_options(exp: Path, config: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """Return {option: value} for options newer than the experiment whose default differs from the earlier behaviour.

    Options that are set to another value than their default are left out: `_check_config` refuses them, unless that
    value is the earlier behaviour.
    """
    path = exp / "config.yaml"
    if not path.exists():
        return {}
    stored = load_config(path)
    effective, newer = complete(stored, defaults), defaults.keys() - complete(stored, {}).keys()
    return {key: effective[key] for key in sorted(newer) if config[key] == defaults[key] != effective[key]}


def _refuse_random(exp: Path, config: dict[str, Any]) -> None:
    """Refuse a new experiment if its encoder would start from random weights without `--pretrained none`."""
    from sed.checkpoints.importers import starts_at_random

    if config["pretrained"] == "" and starts_at_random(config):
        raise UserError(
            f"{exp}: encoder '{config['encoder']}' would start from random weights: give the published checkpoint by "
            "--pretrained FILE (the recipes' stage 0 stores downloads/ast.*), or --pretrained none to mean it"
        )


def _check_config(exp: Path, config: dict[str, Any], defaults: dict[str, Any]) -> None:
    """Refuse to resume with a config that differs from the experiment's; a new one as `_refuse_random` does."""
    path = exp / "config.yaml"
    if not path.exists():
        return _refuse_random(exp, config)
    stored = complete(load_config(path), defaults)
    if {stored["pretrained"], config["pretrained"]} == {"", recipe_options.NONE}:  # in older configs '' means 'none'
        stored["pretrained"] = config["pretrained"]
    # Options of RUNTIME (device, threads ...) may change: they say how and where the same training is computed.
    for key in sorted(({*stored} | {*config}) - {*RUNTIME}):
        if stored.get(key) != config.get(key):
            raise UserError(
                f"{path}: this experiment has {key}: {stored.get(key)}, not {config.get(key)} (give another folder, "
                "in a recipe --tag NAME for ast_sed and a config of another name for the others; --force restarts)"
            )


def _clear(exp: Path) -> None:
    """Remove the files of an earlier training."""
    (exp / ".done").unlink(missing_ok=True)  # first: without it the training does not count as finished
    for name in ("checkpoints", "tensorboard"):
        shutil.rmtree(exp / name, ignore_errors=True)
    for name in ("final.pt", "best.pt", FILE, "info.json", "progress.json", "train.log", "log.jsonl"):
        (exp / name).unlink(missing_ok=True)
    for name in ("mlflow_run.txt", "wandb_run.txt"):  # ids in trackers, where the new training is another run
        (exp / name).unlink(missing_ok=True)
    # Prediction takes its post-processing from the newest result, and a packed model its scores from all of them.
    again = {exp / WINDOWS: "chosen for the earlier model (sed.bin.tune_windows chooses again)"}
    again |= dict.fromkeys(sorted(exp.glob("*/result.json")), "of the earlier model (infer and score again)")
    for path, why in again.items():
        if path.exists():
            logging.getLogger("sed.train").info("%s: removed, since it was %s", path, why)
            path.unlink()
    (exp / "config.yaml").unlink(missing_ok=True)  # last: without it another config would resume from the checkpoints


if __name__ == "__main__":
    main()
