"""Fetching recordings from YouTube with yt-dlp: slowly, one at a time, and on from where the last run ended.

Many are gone for good; each failure is listed with its reason, and what is gone is not asked for again.
"""

from __future__ import annotations

import logging
import random
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from sed.data.download.audioset import Key
from sed.errors import UserError
from sed.files import write_text
from sed.input_files import read_text
from sed.progress import duration

log = logging.getLogger("sed.recordings")

GONE = re.compile(
    r"private video|video (is )?unavailable|not available|been removed|been terminated|no longer available|copyright|"
    r"account .*(closed|terminated)|does not exist|members-only|confirm your age|age-restricted|inappropriate|blocked",
    re.IGNORECASE,
)
BUSY = re.compile(
    r"requested format|not a bot|HTTP Error 429|too many requests|rate.?limit|try again later", re.IGNORECASE
)
LENGTH = 10_000  # ms, where the name has no end
PATIENCE = 5  # failures in a row, other than of what is gone, that end a run
COLUMNS = ("filename", "kind", "reason")


class Failures:
    """The list of what could not be fetched, kept in a file: filename, `gone` or `later`, and the reason."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known: dict[str, tuple[str, str]] = {}
        if path.exists():
            text = read_text(path)
            for line in text.splitlines()[1:]:
                fields = line.split("\t")
                if len(fields) == len(COLUMNS):
                    self.known[fields[0]] = (fields[1], fields[2])
            if not text.endswith("\n"):  # a killed run left half a line
                rows = [COLUMNS, *((name, *failure) for name, failure in self.known.items())]
                write_text(path, "".join("\t".join(row) + "\n" for row in rows))

    def add(self, name: str, kind: str, reason: str) -> None:
        """Record a failure, on disk at once.

        Args:
            name: of the recording.
            kind: of the failure.
            reason: in YouTube's words.
        """
        self.known[name] = kind, " ".join(reason.split())[:200]
        new = not self.path.exists()
        with self.path.open("a", encoding="utf-8") as file:
            rows = [COLUMNS] * new + [(name, *self.known[name])]
            file.write("".join("\t".join(row) + "\n" for row in rows))

    def reason(self, name: str) -> str:
        """Return why a recording is missing; empty when it was never requested."""
        return self.known.get(name, ("", ""))[1]

    def is_gone(self, name: str) -> bool:
        """Return whether YouTube has no such recording any more."""
        return self.known.get(name, ("", ""))[0] == "gone"


def fetch(
    places: Iterable[tuple[Path, Key]],
    failures: Failures,
    *,
    command: str = "yt-dlp",
    between: float = 5.0,
    limit: int = 0,
    timeout: float = 600.0,
    pause: Callable[[float], None] = time.sleep,
) -> int:
    """Fetch recordings to their places; ends early when YouTube stops answering.

    Args:
        places: path and recording of each.
        failures: record of failures.
        command: yt-dlp.
        between: mean seconds to sleep between two, drawn from half to one and a half times as long.
        limit: largest number of requests; 0: all.
        timeout: seconds for one recording.
        pause: sleeps.

    Returns:
        The number of recordings fetched.

    Raises:
        UserError: there is no such command.
    """
    if (program := shutil.which(command)) is None:
        raise UserError(f"{command}: no such program (pip install 'ast-sed[fetch]', and ffmpeg, or give --yt-dlp)")
    waiting = [(place, key) for place, key in places if not place.exists() and not failures.is_gone(place.name)]
    waiting = waiting[:limit] if limit else waiting
    log.info("fetching %d recordings, about %s", len(waiting), duration(len(waiting) * (between + 5)))
    came, in_a_row, said = 0, 0, time.monotonic()
    for number, (place, key) in enumerate(waiting):
        if number:
            pause(between * random.uniform(0.5, 1.5))
        error = _fetch_one(str(Path(program).absolute()), place, key, timeout)
        if not error:
            came, in_a_row = came + 1, 0
        else:
            kind = "later" if BUSY.search(error) or not GONE.search(error) else "gone"
            failures.add(place.name, kind, error)
            in_a_row = 0 if kind == "gone" else in_a_row + 1
            if in_a_row >= PATIENCE:
                log.warning("stopped fetching after %d failures in a row: %s (run again later)", in_a_row, error)
                break
        if time.monotonic() - said > 10:
            left = duration((len(waiting) - number - 1) * (between + 5))
            log.info("fetched %d of %d asked for, about %s left", came, number + 1, left)
            said = time.monotonic()
    return came


def _fetch_one(command: str, place: Path, key: Key, timeout: float) -> str:
    """Fetch one recording; an empty string, or why not."""
    scratch = place.parent / ".fetching"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    end = re.fullmatch(r".*_(\d+(?:\.\d+)?)_(\d+(?:\.\d+)?)", place.stem)
    until = round(1000 * float(end[2])) if end else key.start + LENGTH
    options = ["--ignore-config", "--no-playlist", "--no-progress", "--retries", "3", "--socket-timeout", "30"]
    options += ["-f", "bestaudio/best", "-x", "--audio-format", "wav", "--force-keyframes-at-cuts"]
    options += ["--download-sections", f"*{key.start / 1000:.3f}-{until / 1000:.3f}", "-o", "recording.%(ext)s"]
    try:
        run = subprocess.run(
            [command, *options, f"https://www.youtube.com/watch?v={key.video}"],
            cwd=scratch,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return f"no end after {timeout:.0f} s"
    result = scratch / "recording.wav"
    if run.returncode == 0 and result.is_file() and result.stat().st_size > 44:
        result.replace(place)
        shutil.rmtree(scratch, ignore_errors=True)
        return ""
    lines = [line for line in run.stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")] or lines[-1:]
    shutil.rmtree(scratch, ignore_errors=True)
    return errors[-1].removeprefix("ERROR:").strip() if errors else f"exit {run.returncode}, and no file"
