"""Make a small sound event detection corpus in DESED's layout: audio/ and metadata/, and pretrain/ of isolated sounds.

usage: python3 -m sed.bin.synthesize [options] <out dir>

The same options and recordings give the same files, whatever the number of processes; a killed run is resumed.
"""

from __future__ import annotations

import logging
import os
import shutil
from argparse import Namespace
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from sed.cli import entry, setup_logging
from sed.config import Parser, load_config, save_config
from sed.data.synthesis.corpus import PLANS, Block, blocks, make_block, make_tables, missing
from sed.data.synthesis.soundscape import Bank
from sed.errors import RunError, UserError
from sed.files import lock, write_text
from sed.lifetime import end_with_parent
from sed.progress import Progress

# Default numbers of clips; the keys are those of PLANS.
SIZES = {
    "strong_real": 240,
    "synthetic": 240,
    "weak": 120,
    "unlabelled": 120,
    "synthetic_validation": 0,
    "validation": 120,
    "public": 0,
    "pretrain": 1000,
}
MARKER = ".done"
"""file that is written last: the corpus is complete"""

log = logging.getLogger("sed.synthesize")
_bank: Bank | None = None
"""the bank of a worker process, opened once by `_start`"""


@entry
def main() -> None:
    from sed.data.synthesis.soundbank import SoundBank

    args = _parser().parse_args()
    setup_logging()
    out = args.out
    sizes = {name: getattr(args, name) for name in PLANS}
    config = {key: value for key, value in vars(args).items() if key not in ("out", "nj", "force")}
    config["soundbank"] = str(Path(args.soundbank).resolve()) if args.soundbank else ""
    bank = _open_bank(args.soundbank, args.seed)
    recordings = bank.digest() if isinstance(bank, SoundBank) else None
    with lock(out):
        stamp = out / "synthesis.yaml"
        if not stamp.exists():
            _refuse_others(out)
        if args.force:
            _clear(out)
        if stamp.exists():
            made = load_config(stamp)
            known = made.pop("recordings", recordings)  # not stored by earlier versions
            if made != config:
                raise UserError(
                    f"{out}: holds a corpus made with other options, see {stamp} "
                    "(give another folder, or remove this one)"
                )
            if known != recordings:
                raise UserError(
                    f"{out}: made of other recordings than {args.soundbank} has now "
                    "(give another folder, or remove this one)"
                )
        if (out / MARKER).exists():
            log.info("%s: complete, nothing to do", out)
            return
        if not stamp.exists():
            save_config(stamp, {**config, "recordings": recordings})
        suffix = f".{args.format}"
        seconds = {name: args.pretrain_seconds if name == "pretrain" else args.clip_seconds for name in sizes}
        _make(blocks(sizes), out, args, seconds, suffix)
        make_tables(out, sizes, bank.labels, seconds=seconds, suffix=suffix)
        shutil.rmtree(out / ".blocks", ignore_errors=True)  # notes of the finished blocks, which `make_tables` has read
        write_text(out / MARKER, "")
    log.info("%s: %s", out, ", ".join(f"{size} {name}" for name, size in sizes.items() if size))


def _parser() -> Parser:
    parser = Parser(__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder to write")
    parser.option(
        "soundbank",
        "",
        "folder of recordings: {train,validation}/foreground/<label>/ of the labels to detect and, if any, "
        "{background,distractor}/<any name>/ beside foreground/ (default: generate synthetic sounds)",
    )
    parser.option("seed", 0, "random seed", least=0)
    parser.option("nj", 2, "processes", least=1)
    parser.option("format", "wav", "format of the audio files, 16 bits", choices=["wav", "flac"])
    parser.option("clip-seconds", 10.0, "length of a clip (s)", least=1.0, most=60.0)
    parser.option("pretrain-seconds", 2.5, "length of a clip with isolated sounds (s)", least=0.5, most=60.0)
    parser.option("force", False, "delete the corpus in the folder and make it again")
    for name, size in SIZES.items():
        parser.option(name.replace("_", "-"), size, f"number of clips of {PLANS[name].folder}", least=0)
    return parser


def _refuse_others(out: Path) -> None:
    """Refuse a folder with recordings or tables that were not synthesised, such as those of a real corpus."""
    for plan in PLANS.values():
        for place in (plan.folder, plan.table):
            if (out / place).is_file() or ((out / place).is_dir() and any((out / place).iterdir())):
                raise UserError(f"{out}: holds {place}, which was not synthesised (choose another folder)")


def _clear(out: Path) -> None:
    (out / MARKER).unlink(missing_ok=True)
    shutil.rmtree(out / ".blocks", ignore_errors=True)
    for plan in PLANS.values():
        shutil.rmtree(out / plan.folder, ignore_errors=True)
        (out / plan.table).unlink(missing_ok=True)
    # Features that were dumped of the isolated sounds would pass for those of the new ones, which have the same names.
    for features in (out / PLANS["pretrain"].table).parent.glob("*feats.*"):  # also hidden ones, which are unfinished
        features.unlink()
    # Last: while it exists, the folder counts as synthesised, and a killed --force can be repeated.
    (out / "synthesis.yaml").unlink(missing_ok=True)


def _make(todo: list[Block], out: Path, args: Namespace, seconds: dict[str, float], suffix: str) -> None:
    """Make the missing blocks in `nj` processes, with progress."""
    left = list(missing(todo, out))
    total = _clips(todo)
    done = total - _clips(left)
    if done:
        log.info("%d of %d clips were made before", done, total)
    with (
        ProcessPoolExecutor(args.nj, initializer=_start, initargs=(os.getpid(), args.soundbank, args.seed)) as pool,
        Progress(total, "clip", done=done, logger=log) as progress,
    ):
        try:
            work = {pool.submit(_work, b, out, args.seed, seconds[b.name], suffix): b for b in left}
            for future in as_completed(work):
                future.result()
                progress.advance(_clips([work[future]]))
        except BrokenProcessPool:
            raise RunError("a worker process died: out of memory? (the same command resumes)") from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _clips(some: list[Block]) -> int:
    """Return the number of clips in blocks."""
    return sum(block.stop - block.start for block in some)


def _open_bank(soundbank: str, seed: int) -> Bank:
    from sed.data.synthesis.procedural_bank import ProceduralBank
    from sed.data.synthesis.soundbank import SoundBank

    return SoundBank(soundbank) if soundbank else ProceduralBank(seed=seed)


def _start(starter: int, soundbank: str, seed: int) -> None:
    """Prepare a worker process of the process `starter`."""
    global _bank
    end_with_parent(starter)
    _bank = _open_bank(soundbank, seed)


def _work(block: Block, out: Path, seed: int, seconds: float, suffix: str) -> None:
    assert _bank is not None, "_start has run in this process"
    make_block(block, out, _bank, seed=seed, seconds=seconds, suffix=suffix)


if __name__ == "__main__":
    main()
