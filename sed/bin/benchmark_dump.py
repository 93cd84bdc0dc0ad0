"""Measure stage 2: clips per second and memory of dump jobs, and the speed of reading features back.

usage: python3 -m sed.bin.benchmark_dump [options] <empty scratch dir>

Stage 2 of the recipes computes the log-mel features of clips and dumps them to HDF5 files. The clips are --files
recordings of noise, each listed many times. For comparison, a bare loop of reading (soundfile), resampling (soxr) and
front end runs first, in as many processes as there are dump jobs. Last, random clips are read back on one core. The
memory is read from /proc, so it needs Linux.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

from sed.cli import entry, setup_logging
from sed.config import Parser
from sed.errors import RunError, UserError

# resampled to the rate of the default front end, with the quality that `sed.data.audio` uses
_BARE = """
import sys, time
import numpy as np, soundfile, soxr, torch
from sed.features.logmel import FrontEnd
torch.set_num_threads(1)
front_end = FrontEnd()
paths = [line.split(" ", 1)[1] for line in open(sys.argv[1]).read().splitlines()][: int(sys.argv[2])]
begun = time.perf_counter()
for path in paths:
    sound, rate = soundfile.read(path, dtype="float32")
    with torch.inference_mode():
        front_end(torch.from_numpy(soxr.resample(sound, rate, 16000, quality="HQ"))[None])
print(len(paths) / (time.perf_counter() - begun))
"""


@entry
def main() -> None:
    parser = Parser(__doc__.splitlines()[0])
    parser.add_argument("scratch", type=Path, help="folder to write to; its files are kept")
    parser.option("clips", 2000, "number of clips, over all jobs", least=100)
    parser.option("files", 100, "number of different recordings", least=1)
    parser.option("seconds", 10.0, "length of a clip (s)", least=0.1)
    parser.option("rate", 44100, "sampling rate of the recordings (Hz)", least=8000)
    parser.option("nj", 2, "dump jobs, which run in parallel", least=1)
    args = parser.parse_args()
    log = setup_logging()
    if args.scratch.exists() and any(args.scratch.iterdir()):
        raise UserError(f"{args.scratch}: not empty (name a new folder)")
    if args.nj > args.clips:
        raise UserError(f"--nj {args.nj}: more jobs than --clips {args.clips} (give fewer)")
    lists = _lists(args)

    # The bare loop runs on fewer clips, to save time.
    bare = [
        float(text)
        for text in _together([[sys.executable, "-c", _BARE, scp, str(max(50, args.clips // 20))] for scp in lists])
    ]
    log.info("bare read, resample, front end: %.1f clips/s per core", sum(bare) / len(bare))

    shards = [args.scratch / f"feats.{job}.h5" for job in range(1, args.nj + 1)]
    dump = ["-m", "sed.bin.dump_features", "--clip-seconds", str(args.seconds)]
    begun = time.monotonic()
    peaks = _memory([[sys.executable, *dump, scp, str(shard)] for scp, shard in zip(lists, shards, strict=True)])
    spent = time.monotonic() - begun
    per_core = args.clips / spent / args.nj
    log.info(
        "dump: %.1f clips/s per core, %.2f of bare, start of the program included",
        per_core,
        per_core * len(bare) / sum(bare),
    )
    for job, (early, late) in enumerate(peaks, 1):
        log.info("job %d: %.0f MB resident after a quarter of the time, %.0f MB at most after", job, early, late)

    scp = "".join(shard.with_suffix(".scp").read_text() for shard in shards)
    (args.scratch / "feats.scp").write_text(scp)
    log.info("read back at random: %.0f clips/s per core", _read_back(args.scratch))


def _lists(args: argparse.Namespace) -> list[str]:
    """Write the recordings and each job's wav.scp; return the paths of the latter."""
    import numpy as np
    import soundfile

    rng = np.random.default_rng(0)
    files = []
    args.scratch.mkdir(parents=True, exist_ok=True)
    for i in range(args.files):
        files.append(args.scratch.resolve() / f"{i}.wav")
        noise = 0.1 * rng.standard_normal(int(args.seconds * args.rate), dtype=np.float32)
        soundfile.write(files[-1], noise, args.rate, subtype="PCM_16")
    lists = []
    for job in range(args.nj):
        chosen = range(job * args.clips // args.nj, (job + 1) * args.clips // args.nj)
        path = args.scratch / f"wav.{job + 1}.scp"
        path.write_text("".join(f"clip{i:07d} {files[i % args.files]}\n" for i in chosen))
        lists.append(str(path))
    return lists


def _together(commands: list[list[str]]) -> list[str]:
    """Run commands in parallel; return the output of each."""
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    texts = [process.communicate()[0] for process in running]
    if any(process.returncode for process in running):
        raise RunError("a process of the benchmark failed (see above)")
    return texts


def _memory(commands: list[list[str]]) -> list[tuple[float, float]]:
    """Run commands in parallel; return resident MB of each after a quarter of its time, and the maximum after that.

    If the maximum is much larger, memory grows with the number of clips. The first quarter is left for the start of the
    program.
    """
    running = [subprocess.Popen(command) for command in commands]
    seen: list[list[float]] = [[] for _ in running]
    while None in [process.poll() for process in running]:  # all are polled: a zombie would count as 0 MB
        for process, resident in zip(running, seen, strict=True):
            try:
                pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
                resident.append(pages * resource.getpagesize() / 1e6)
            except (OSError, IndexError):
                continue
        time.sleep(0.2)
    if any(process.returncode for process in running):
        raise RunError("a dump job failed (see above)")
    if not all(seen):
        raise RunError("a dump job ended before its memory could be read (give more --clips; needs Linux)")
    return [(r[len(r) // 4], max(r[len(r) // 4 :])) for r in seen]


def _read_back(dump: Path) -> float:
    """Return clips per second when reading 3000 random clips in batches of 24."""
    import numpy as np

    from sed.data.store import FeatureStore

    store = FeatureStore(dump)
    rows = np.random.default_rng(0).integers(0, len(store.clips), 3000)
    for _ in range(2):  # the first run fills the page cache, the second is measured
        begun = time.perf_counter()
        for start in range(0, len(rows), 24):
            store.read(rows[start : start + 24])
        rate = len(rows) / (time.perf_counter() - begun)
    return rate


if __name__ == "__main__":
    main()
