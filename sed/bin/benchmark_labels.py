"""Measure memory and time of a large label set: targets, one epoch's batches with their loss, scoring.

usage: python3 -m sed.bin.benchmark_labels [options] <empty scratch dir>

Makes up a corpus of AudioSet-strong's size (447 classes, 100,000 clips of ten seconds to train on) and scores of 16,000
clips. Prints of each stage its seconds, those of processors, which do not depend on what else runs, and the most memory
that its processes hold together (PSS), mapped files included. The scores take 2.9 GB of the scratch directory, which
are removed at the end.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sed.cli import entry, setup_logging
from sed.config import Parser
from sed.errors import RunError, UserError

if TYPE_CHECKING:
    import numpy as np

    from sed.data.targets import FrameTargets

SECONDS = 10.0
STAGES = {"labels": "targets", "batches": "an epoch's batches and their loss", "scores": "making scores up"}
UNSENT = ("scratch", "stage")


@entry
def main() -> None:
    p = Parser(__doc__.splitlines()[0])
    p.add_argument("scratch", type=Path, help="folder to write to; only its small files stay there")
    p.option("classes", 447, "of the label set", least=2)
    p.option("clips", 100_000, "clips to train on", least=1)
    p.option("events", 9, "of a clip, on average", least=1)
    p.option("frames", 1000, "of a clip's targets", least=1)
    p.option("batch-size", 48, "clips per batch", least=1)
    p.option("scored-clips", 16_000, "clips that are scored", least=1)
    p.option("scored-frames", 100, "of a clip's scores", least=1)
    p.option("bootstrap", 0, "samples of the scoring's intervals", least=0)
    p.option("jobs", 2, "processes of the scoring", least=1)
    p.option("stage", None, "run this one alone, in this process", choices=tuple(STAGES))
    args = p.parse_args()
    log = setup_logging()
    if args.stage:
        {"labels": labels, "batches": batches, "scores": scores}[args.stage](args)
        return
    if args.scratch.exists() and any(args.scratch.iterdir()):
        raise UserError(f"{args.scratch}: not empty (name a new folder)")
    if not Path("/proc/self/smaps_rollup").exists():
        raise UserError("this reads memory from /proc, which this system lacks (run it on Linux)")
    args.scratch.mkdir(parents=True, exist_ok=True)
    write_labels(args)
    options = [f"--{key.replace('_', '-')}={value}" for key, value in vars(args).items() if key not in UNSENT]
    itself = [sys.executable, "-m", "sed.bin.benchmark_labels", *options, str(args.scratch)]
    for stage, name in STAGES.items():
        log.info("%s: %.0f s, %.0f s of processors, at most %.2f GB", name, *measured([*itself, "--stage", stage]))
    name = f"scoring {args.scored_clips} clips, {args.classes} classes"
    log.info("%s: %.0f s, %.0f s of processors, at most %.2f GB", name, *measured(scoring(args)))
    (args.scratch / "scores.h5").unlink()


def scoring(args: argparse.Namespace) -> list[str]:
    """Return the command that scores what `scores` made."""
    scratch = args.scratch
    options = {
        "ground-truth": scratch / "truth" / "events.tsv",
        "durations": scratch / "truth" / "durations.tsv",
        "out": scratch / "scored" / "result.json",
        "bootstrap": args.bootstrap,
        "jobs": args.jobs,
    }
    given = [f"--{name}={value}" for name, value in options.items()]
    return [sys.executable, "-m", "sed.bin.score", str(scratch / "scores.h5"), "--no-report", *given]


def measured(command: list[str]) -> tuple[float, float, float]:
    """Run a command; return its seconds, those of processors, and the most GB that it and its children held."""
    begun, most, used = time.monotonic(), 0.0, spent()
    process = subprocess.Popen(command)
    while process.poll() is None:
        most = max(most, held(process.pid))
        time.sleep(0.2)
    if process.returncode:
        raise RunError(f"{' '.join(command[1:4])}: ended with {process.returncode} (see above)")
    return time.monotonic() - begun, spent() - used, most


def spent() -> float:
    """Return the seconds of processors that processes below this one have used, those that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def held(process: int) -> float:
    """Return the GB that a process and all below it hold; pages that several share count once."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        tasks = list(Path(f"/proc/{process}/task").iterdir())
        below = [child for task in tasks for child in (task / "children").read_text().split()]
    except OSError:  # it has ended meanwhile
        return 0.0
    own = sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024 / 1e9
    return own + sum(held(int(child)) for child in below)


def names(args: argparse.Namespace) -> list[str]:
    """Return the labels."""
    return [f"class_{k:04d}" for k in range(args.classes)]


def write_labels(args: argparse.Namespace) -> None:
    """Write the data directories of the training clips and of the scored ones."""
    import numpy as np

    from sed.data.directory import write_scp
    from sed.data.tables import Event, write_durations_tsv, write_events_tsv

    labels, rng = names(args), np.random.default_rng(0)
    share = 1 / np.arange(1, args.classes + 1)  # as in AudioSet, few classes have most events
    for folder, clips in (("train", args.clips), ("truth", args.scored_clips)):
        (args.scratch / folder).mkdir()
        table: dict[str, list[Event]] = {}
        for clip in range(clips):
            columns = rng.choice(args.classes, rng.poisson(args.events - 1) + 1, p=share / share.sum())
            onsets = rng.uniform(0, SECONDS - 0.5, len(columns))
            offsets = np.minimum(SECONDS, onsets + rng.exponential(2.0, len(columns)) + 0.1)
            spans = zip(onsets.round(3).tolist(), offsets.round(3).tolist(), columns.tolist(), strict=True)
            table[f"clip{clip:07d}"] = [Event(onset, offset, labels[column]) for onset, offset, column in spans]
        write_events_tsv(args.scratch / folder / "events.tsv", table)
        write_durations_tsv(args.scratch / folder / "durations.tsv", dict.fromkeys(table, SECONDS))
        write_scp(args.scratch / folder / "wav.scp", {clip: f"{clip}.wav" for clip in table})


def labels(args: argparse.Namespace) -> FrameTargets:
    """Read the training set's labels into targets."""
    from sed.data.directory import DataDir
    from sed.data.targets import FrameTargets

    events = DataDir.load(args.scratch / "train", names(args)).events
    assert events is not None
    return FrameTargets.of(events.values(), names(args), frames=args.frames, frame_seconds=SECONDS / args.frames)


def batches(args: argparse.Namespace) -> None:
    """Make every batch of an epoch, features of noise, and take the loss of every hundredth, with its gradient."""
    import torch

    from sed.data.batches import FeaturePool, TrainingSet, arrange, steps_per_epoch
    from sed.features.logmel import FrontEnd
    from sed.training.augment import AugmentOptions, as_known
    from sed.training.benchmark import RandomStore
    from sed.training.inputs import InputMaker
    from sed.training.losses import frame_loss

    targets, size = labels(args), min(args.batch_size, args.clips)
    store = RandomStore(FrontEnd(), args.clips)
    sets = arrange([TrainingSet(name="train", store=store, supervision="strong", targets=targets, batch_size=size)])
    maker = InputMaker(
        sets,
        FeaturePool(sets, cache="none", device=torch.device("cpu")),
        seed=0,
        options=AugmentOptions(),
        frames=args.frames,
        frame_seconds=SECONDS / args.frames,
        classes=args.classes,
    )
    for step in range(steps_per_epoch(sets)):
        inputs = maker.make(step)
        if step % 100 == 0:
            logits = torch.zeros(inputs.strong_targets.shape, requires_grad=True)
            frame_loss(logits, as_known(inputs.strong_targets)).backward()


def scores(args: argparse.Namespace) -> None:
    """Write scores of the scored clips: low ones that wander with time, high ones in most of each event."""
    import numpy as np

    from sed.data.scores import Scores, write_scores
    from sed.data.tables import read_events_tsv

    rng, events = np.random.default_rng(1), read_events_tsv(args.scratch / "truth" / "events.tsv")
    column = {label: k for k, label in enumerate(names(args))}
    frame = np.empty((len(events), args.scored_frames, args.classes), np.float32)
    for values, spans in zip(frame, events.values(), strict=True):
        logits = background(rng, values.shape)
        for onset, offset, label in spans:
            begin, end = (round(time / SECONDS * args.scored_frames) for time in (onset, offset))
            logits[begin:end, column[label]] += rng.normal(6.0, 2.0)
        values[:] = 1 / (1 + np.exp(-logits))
    made = Scores(
        clips=list(events),
        labels=names(args),
        frame=frame,
        clip=frame.max(1),
        frame_seconds=SECONDS / args.scored_frames,
    )
    write_scores(args.scratch / "scores.h5", made)


def background(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return logits (frames, classes) of silence: -7 with a deviation of 1.5, alike over some frames."""
    import numpy as np
    from scipy.signal import lfilter

    noise = rng.standard_normal(shape, np.float32)
    return -7 + 1.5 * np.sqrt(1 - 0.8**2) * lfilter([1.0], [1.0, -0.8], noise, axis=0)


if __name__ == "__main__":
    main()
