"""Measure time and memory with a large label set: building targets, one epoch's batches, scoring.

usage: python3 -m sed.bin.benchmark_labels [options] <empty scratch dir>

Makes a random corpus of AudioSet-strong's size (447 classes, 100,000 training clips of ten seconds with nine events
each on average) and posteriors of 16,000 clips. Prints wall-clock and processor seconds of each stage and the peak
memory of its processes together (PSS, mapped files included). The posteriors take 2.9 GB of the scratch directory and
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

SECONDS = 10.0  # of a clip
STAGES = {
    "labels": "targets",
    "batches": "an epoch's batches, and the loss of every hundredth",
    "scores": "making random scores",
}
UNSENT = ("scratch", "stage")  # options that the process of a stage does not inherit


@entry
def main() -> None:
    p = Parser(__doc__.splitlines()[0])
    p.add_argument("scratch", type=Path, help="folder to write to; only its small files stay there")
    p.option("classes", 447, "number of labels", least=2)
    p.option("clips", 100_000, "number of training clips", least=1)
    p.option("events", 9, "events per clip, on average", least=1)
    p.option("frames", 1000, "target frames per clip", least=1)
    p.option("batch-size", 48, "clips per batch", least=1)
    p.option("scored-clips", 16_000, "number of clips to score", least=1)
    p.option("scored-frames", 100, "frames of posteriors per scored clip", least=1)
    p.option("bootstrap", 0, "bootstrap samples of the scoring (0: no intervals)", least=0)
    p.option("jobs", 2, "processes of the scoring", least=1)
    p.option("stage", None, "run only this stage, in this process", choices=tuple(STAGES))
    args = p.parse_args()
    log = setup_logging()
    if args.stage:
        {"labels": labels, "batches": batches, "scores": scores}[args.stage](args)
        return
    if args.scratch.exists() and any(args.scratch.iterdir()):
        raise UserError(f"{args.scratch}: not empty (name a new folder)")
    if not Path("/proc/self/smaps_rollup").exists():
        raise UserError("no /proc/self/smaps_rollup to read memory from (run it on Linux)")
    args.scratch.mkdir(parents=True, exist_ok=True)
    write_labels(args)
    options = [f"--{key.replace('_', '-')}={value}" for key, value in vars(args).items() if key not in UNSENT]
    itself = [sys.executable, "-m", "sed.bin.benchmark_labels", *options, str(args.scratch)]
    for stage, name in STAGES.items():
        log.info("%s: %.0f s, %.0f processor seconds, at most %.2f GB", name, *measured([*itself, "--stage", stage]))
    name = f"scoring {args.scored_clips} clips, {args.classes} classes"
    log.info("%s: %.0f s, %.0f processor seconds, at most %.2f GB", name, *measured(scoring(args)))
    (args.scratch / "scores.h5").unlink()


def scoring(args: argparse.Namespace) -> list[str]:
    """Return the command that scores the file of the stage `scores`."""
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
    """Run a command; return wall-clock seconds, processor seconds and peak memory (GB) of it and its children."""
    begun, most, used = time.monotonic(), 0.0, spent()
    process = subprocess.Popen(command)
    while process.poll() is None:
        most = max(most, held(process.pid))
        time.sleep(0.2)
    if process.returncode:
        raise RunError(f"{' '.join(command[1:4])}: ended with {process.returncode} (see above)")
    return time.monotonic() - begun, spent() - used, most


def spent() -> float:
    """Return the processor seconds of the child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def held(process: int) -> float:
    """Return the memory (GB) of a process and its descendants; PSS counts pages that they share once."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        tasks = list(Path(f"/proc/{process}/task").iterdir())
        below = [child for task in tasks for child in (task / "children").read_text().split()]
    except OSError:  # the process has ended meanwhile
        return 0.0
    own = sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024 / 1e9
    return own + sum(held(int(child)) for child in below)


def names(args: argparse.Namespace) -> list[str]:
    """Return the label set."""
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
    """Read the training set's labels into targets: the stage `labels`."""
    from sed.data.directory import DataDir
    from sed.data.targets import FrameTargets

    events = DataDir.load(args.scratch / "train", names(args)).events
    assert events is not None
    return FrameTargets.of(events.values(), names(args), frames=args.frames, frame_seconds=SECONDS / args.frames)


def batches(args: argparse.Namespace) -> None:
    """Make every batch of an epoch from random features; compute loss and gradient of every hundredth."""
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
    """Write posteriors of the clips to score: low and slowly varying, raised within events."""
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
            logits[begin:end, column[label]] += rng.normal(6.0, 2.0)  # from a mean of -7 to about -1: many are detected
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
    """Return logits (frames, classes) of silence: mean -7, standard deviation 1.5, correlated over a few frames."""
    import numpy as np
    from scipy.signal import lfilter

    noise = rng.standard_normal(shape, np.float32)
    return -7 + 1.5 * np.sqrt(1 - 0.8**2) * lfilter([1.0], [1.0, -0.8], noise, axis=0)


if __name__ == "__main__":
    main()
