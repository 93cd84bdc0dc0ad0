"""Compute the posteriors of a trained model on a dumped set.

usage: python3 -m sed.bin.infer --model exp/ast_sed dump/validation exp/ast_sed/validation/scores.h5
       python3 -m sed.bin.infer --model exp/ast_sed --which student --export-tsv scores/ dump/validation scores.h5
       python3 -m sed.bin.infer --model exp/ast_sed --part 2/8 dump/validation scores.2.h5   (then sed.bin.merge_scores)

The model is an experiment's folder, one checkpoint (.pt) or a packed model, which may be on a hub. Writes frame and
clip posteriors with labels, frame length and provenance; --export-tsv also writes them as the score TSVs of
sed_scores_eval.
"""

from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from sed.cli import entry, setup_logging
from sed.config import Parser, output_file
from sed.energy import FILE, metered, read_energy, relative_to, write_energy
from sed.errors import UserError
from sed.provenance import command_line, git_hash


def part(text: str) -> tuple[int, int]:
    """Parse `2/8` into the number of a part, counted from 1, and the number of parts."""
    number, _, parts = text.partition("/")
    if not (number.isdecimal() and parts.isdecimal() and 1 <= int(number) <= int(parts)):
        raise ValueError(text)
    return int(number), int(parts)


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(__doc__.split("\n", 1)[0])
    p.add_argument("dump", help="dump/<set>: features of the clips")
    p.add_argument("output", type=output_file, help="scores.h5 to write")
    p.option(
        "model",
        None,
        "experiment folder, checkpoint (.pt), packed model, or hf://organisation/name",
        required=True,
    )
    p.option("which", "teacher", "network of the mean-teacher pair to use", choices=["teacher", "student"])
    p.option("batch-size", 16, "clips per batch", least=1)
    p.option("part", "1/1", "compute part N of M of the clips, as N/M", type=part)
    p.option("device", "auto", "cpu, cuda, cuda:1; auto: a GPU if there is one")
    p.option("amp", False, "bfloat16 autocast on a GPU: faster, but posteriors differ from those of sed.bin.predict")
    p.option(
        "band",
        None,
        "use this frequency band alone (0: lowest) instead of the mean over all, for figure 3 of the AST-SED paper",
        type=int,
    )
    p.option("energy", False, "measure kWh by codecarbon and count multiply-accumulates: energy.json beside the output")
    p.option(
        "energy-baseline",
        None,
        "energy.json of the DCASE baseline, measured on this machine: also give kWh as multiples of the baseline's",
    )
    p.option("export-tsv", None, "folder for score TSVs that sed_scores_eval reads", type=Path)
    return p


def _add_cost(file: Path, source: Path, model: Any, clips: int, device: Any) -> None:
    """Add an inference's multiply-accumulates to energy.json: of all clips, and per 10 s of audio, as DCASE asks.

    The training's entry is copied from the energy.json of the experiment, the folder or checkpoint `source`. Other
    entries, which an earlier inference of another model may have written, are dropped.
    """
    from sed.device import describe
    from sed.files import write_json
    from sed.models.cost import multiply_accumulates

    macs = multiply_accumulates(model.detector, model.front_end.mel_bins)
    values = {
        "clips": clips,
        "macs": macs * clips,
        "macs_of_10_seconds": round(macs * 10 / model.front_end.clip_seconds),
        "macs_how": "counted by torch",
        "device": describe(device),
    }
    entries = {"inference": {**read_energy(file)["inference"], **values}}
    if training := read_energy(_experiment(source) / FILE).get("training"):
        entries["training"] = training
    write_json(file, entries)


def _experiment(source: Path) -> Path:
    """Return a model itself if it is a folder (an experiment or a packed model), else the folder of the checkpoint."""
    return source if source.is_dir() else source.parent


def _check_energy(args: Any, source: Path, device: Any) -> None:
    """Refuse energy options that do not fit each other or the device, before the inference, which may take hours."""
    from sed.device import describe

    if args.energy and args.part[1] > 1:
        raise UserError(
            "--energy measures the whole machine, so one job must do all, without --part (steps/infer.sh --nj 1)"
        )
    if args.energy_baseline and not args.energy:
        raise UserError("--energy-baseline is compared with what --energy measures (add --energy)")
    if args.energy_baseline:
        unmeasured = {"inference": {"kwh": 0.0, "device": describe(device)}}
        # Only for its checks; the result is not used.
        relative_to(Path(args.energy_baseline), {**read_energy(_experiment(source) / FILE), **unmeasured})


@entry
def main() -> None:
    """Infer and write."""
    args = parser().parse_args()
    logger = setup_logging()
    from sed.checkpoints.hub import local_model
    from sed.checkpoints.packed import load_model
    from sed.data.scores import export_tsv, write_scores
    from sed.device import choose_device
    from sed.evaluation.inference import infer_set
    from sed.gpu.detector import accelerated

    device = choose_device(args.device)
    source = local_model(args.model)
    model = load_model(source, args.which, device)
    if args.band is not None:
        model.detector.use_band(args.band)
    amp = args.amp and device.type == "cuda"
    _check_energy(args, source, device)
    file = args.output.parent / FILE
    with metered(file, "inference", again=False) if args.energy else nullcontext():
        started = time.monotonic()
        scores = infer_set(
            accelerated(model.detector, device),
            model.front_end,
            model.labels,
            Path(args.dump),
            batch_size=args.batch_size,
            device=device,
            amp=amp,
            number=args.part[0],
            parts=args.part[1],
        )
        rate = len(scores.clips) / (time.monotonic() - started)
    if args.energy:
        _add_cost(file, source, model, len(scores.clips), device)
    if args.energy_baseline:
        write_energy(file, {"baseline": relative_to(Path(args.energy_baseline), read_energy(file))})
    scores.attrs.update(
        {
            "model": str(args.model),
            "which": args.which,
            **({} if args.band is None else {"band": args.band}),
            "set": Path(args.dump).name,
            "command": command_line(),
            "git": git_hash(),
            "device": device.type,
            "amp": amp,
            "clips_per_second": rate,
        }
    )
    write_scores(args.output, scores)
    if args.export_tsv:
        export_tsv(args.export_tsv, scores.flat())
    logger.info(
        "%s: %d clips, %d frames of %.4g s, %.1f clips/s",
        args.output,
        *scores.frame.shape[:2],
        scores.frame_seconds,
        rate,
    )


if __name__ == "__main__":
    main()
