"""Choose by measurement how a model predicts on long recordings, and store the choice with the model.

usage: python3 -m sed.bin.tune_windows exp/ast_sed exp/ast_gru
       python3 -m sed.bin.tune_windows --soundbank DIR exp/ast_sed
       python3 -m sed.bin.tune_windows --clips data/validation exp/ast_sed

Mixes long recordings from DIR's validation sounds (without --soundbank: from synthetic sounds that neither training
nor `sed.bin.benchmark_windows` uses) and predicts on them with every overlap of --overlaps, with and without windows
centred on events (--centre-events of sed.bin.predict). Prints event-based F1 and writes the setting with the highest
mean over the kinds of recordings (--kinds) into the experiment as windows.json, which prediction, packed models and
ONNX files then use unless an option overrides it. `benchmark_windows` refuses to measure a model on the soundbank and
seed that its windows were chosen on. After another training, tune again.

With --clips, the long recordings are those that the clips of a data directory were cut from, such as your own; --seed,
--kinds, --short, --long and --jobs have no effect. The F1 of the chosen setting is then optimistic, because the setting
was chosen on the same recordings.
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import replace
from pathlib import Path

from sed.cli import entry, setup_logging
from sed.config import Parser
from sed.errors import UserError
from sed.prediction import soundscapes
from sed.prediction.window_settings import bank_name
from sed.prediction.windows import OVERLAP

log = logging.getLogger("sed.tune_windows")
OWN = "recordings"
"""name of the kind of recordings that --clips names, beside `soundscapes.KINDS`"""


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(__doc__.split("\n", 1)[0])
    p.add_argument("models", nargs="+", help="folders of experiments")
    soundscapes.add_arguments(p, short=40, long=2, seed=1)
    p.option("clips", "", "data directory whose clips are joined to their recordings, instead of mixing any")
    p.option(
        "minutes",
        10.0,
        "with --clips: most minutes of recordings to use, drawn at random, the same in every run; at least one "
        "recording",
        least=0.1,
    )
    p.option("overlaps", [OVERLAP], "overlaps to try, comma-separated, as shares of a window", type=soundscapes.shares)
    p.option("batch-size", 32, "windows per batch", least=1)
    p.option("device", "auto", "cpu, cuda, cuda:1; auto: a GPU if there is one")
    p.option("jobs", 0, "processes that mix (0: as many as there are processors)", least=0)
    return p


def recordings_of(args: argparse.Namespace) -> tuple[dict[str, list[soundscapes.Recording]], dict[str, str | float]]:
    """Return {kind: long recordings} and what describes them in windows.json."""
    if args.clips:
        from sed.prediction.joined_clips import join_clips

        joined, number = join_clips(Path(args.clips), minutes=args.minutes)
        log.info("%s: %d of %d recordings of several clips without a gap", args.clips, len(joined), number)
        return {OWN: joined}, {"recordings": len(joined), "minutes": round(sum(one.minutes for one in joined), 1)}
    # other synthetic sounds than those of training and benchmark_windows, whose seed is 0
    mix = soundscapes.Mix(args.soundbank, sounds_seed=1, seed=args.seed)
    recordings = {
        kind: mix.recordings(soundscapes.KINDS[kind], short=args.short, long=args.long, jobs=args.jobs)
        for kind in args.kinds
    }
    minutes = sum(one.minutes for some in recordings.values() for one in some)
    return recordings, {"soundbank": bank_name(args.soundbank), "seed": args.seed, "minutes": minutes}


@entry
def main() -> None:
    """Mix or join recordings, compare and write."""
    args = parser().parse_args()
    setup_logging()
    if args.clips and args.soundbank:
        raise UserError("--clips and --soundbank both name recordings (give one of them)")
    if not args.clips:
        soundscapes.check(kinds=args.kinds, recordings=args.short + args.long)

    from sed.checkpoints.packed import is_packed
    from sed.prediction import window_settings
    from sed.prediction.comparison import open_for
    from sed.prediction.window_tuning import best, candidates, measure
    from sed.provenance import command_line, git_hash

    for model in map(Path, args.models):
        if is_packed(model):
            raise UserError(f"{model}: a packed model (tune the experiment and pack it again)")
        if not model.is_dir():
            raise UserError(f"{model}: no experiment's folder, which the choice is stored in (give the folder)")
    recordings, tuned_on = recordings_of(args)
    if not any(recordings.values()):
        log.info("%s: no recording has several clips without a gap, so no windows are chosen", args.clips)
        return
    mixed = [one for some in recordings.values() for one in some]
    for model in args.models:
        predictor, post = open_for(mixed, model, args.device)
        settings = candidates(predictor, args.overlaps)
        measured = measure(predictor, post, recordings, settings, batch_size=args.batch_size)
        chosen = best(measured)
        for one in measured:
            scores = ", ".join(f"{kind} {value:.3f}" for kind, value in one.f1.items())
            print(f"{model}: {scores}, mean {one.mean:.3f}: {one.settings}{' (chosen)' * (one is chosen)}", flush=True)
        facts = {
            "measured": [{**one.settings.to_stored(), "event_f1": one.f1} for one in measured],
            "command": command_line(),
            "git": git_hash(),
        }
        path = Path(model) / window_settings.WINDOWS
        window_settings.write(path, replace(chosen.settings, tuned_on=tuned_on), facts)
        log.info("%s written", path)
        if args.clips:
            own = chosen.f1[OWN]
            print(
                f"{model}: predict uses the setting with the highest EB-F1 on these recordings ({100 * own:.1f} %, an "
                "optimistic number, since they chose it)"
            )


if __name__ == "__main__":
    main()
