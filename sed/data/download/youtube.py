"""Fetching of recordings from YouTube with yt-dlp: slowly, one at a time, continuing where the last run ended.

A recording is a section of a video (`Key`). Many videos are no longer there. Each failure is listed with its reason,
and a recording whose video is gone is not requested again.
"""

from __future__ import annotations

import logging
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from sed.data.download.audioset import Key, is_filled
from sed.errors import UserError
from sed.files import write_text
from sed.input_files import read_text
from sed.progress import duration

log = logging.getLogger("sed.recordings")

# yt-dlp's messages about videos that are gone: removed, private, blocked in this country, or for members or adults only
GONE = re.compile(
    r"private video|video (is )?unavailable|not available|been removed|been terminated|no longer available|copyright|"
    r"account .*(closed|terminated)|does not exist|members-only|confirm your age|age-restricted|inappropriate|blocked",
    re.IGNORECASE,
)
# Messages about a server that refuses for now; they take precedence over GONE, which some of them match as well.
# "Requested format is not available" is one: any audio is requested, so YouTube withholds all formats from this client.
BUSY = re.compile(
    r"requested format|not a bot|HTTP Error 429|too many requests|rate.?limit|try again later", re.IGNORECASE
)
LENGTH = 10_000  # milliseconds to fetch if a file name states a start but no end: AudioSet's clips have at most 10 s
PATIENCE = 5  # failures in a row after which a run ends; a video that is gone is none, since the server did answer
REQUEST = 5  # seconds that a request takes, for estimates of the time left
GRACE = 10  # seconds that yt-dlp has to end after a request is given up, before it is killed
REPORT = 10  # seconds between lines on progress
WAV_HEADER = 78  # bytes before the samples in ffmpeg's WAV: the usual 44, and 34 that name ffmpeg as the writer
COLUMNS = ("filename", "kind", "reason")


class Failures:
    """Table of the recordings that could not be fetched: filename, `gone` or `later` (worth another try), reason."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known: dict[str, tuple[str, str]] = {}
        if path.exists():
            text = read_text(path, errors="replace")  # a full disk may have cut the last line within a letter
            for line in text.splitlines()[1:]:
                fields = line.split("\t")
                if len(fields) == len(COLUMNS):
                    self.known[fields[0]] = (fields[1], fields[2])
            if not text.endswith("\n"):  # a killed run left an incomplete line
                rows = [COLUMNS, *((name, *failure) for name, failure in self.known.items())]
                write_text(path, "".join("\t".join(row) + "\n" for row in rows))

    def add(self, name: str, kind: str, reason: str) -> None:
        """Record a failure, and write it to the file at once.

        Args:
            name: file name of the recording.
            kind: `gone` or `later`.
            reason: yt-dlp's message.
        """
        self.known[name] = kind, " ".join(reason.split())[:200]
        new = not self.path.exists()
        with self.path.open("a", encoding="utf-8") as file:
            rows = [COLUMNS] * new + [(name, *self.known[name])]
            file.write("".join("\t".join(row) + "\n" for row in rows))

    def reason(self, name: str) -> str:
        """Return why the last failed request for a recording failed, "" if none did; a later success does not count."""
        return self.known.get(name, ("", ""))[1]

    def is_gone(self, name: str) -> bool:
        """Return whether a recording's video is gone, by yt-dlp's last message about it."""
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
    note: Callable[[Path], None] = lambda _: None,
) -> int:
    """Fetch recordings; end early after PATIENCE failures in a row.

    Args:
        places: (path of the file to write, recording) of each; not fetched are those whose file exists and is not
            empty, and those whose video is gone according to `failures`.
        failures: table of failures, which is read and extended.
        command: name or path of yt-dlp.
        between: mean of the seconds to wait between two requests, drawn uniformly from 0.5 to 1.5 times that.
        limit: largest number of requests; 0: no limit.
        timeout: seconds after which a request is given up.
        pause: function that waits.
        note: called with each path before its recording is moved there, such as to store where it is from.

    Returns:
        The number of recordings fetched.

    Raises:
        UserError: there is no such command.
    """
    program = find_program(command)
    waiting = [(place, key) for place, key in places if not is_filled(place) and not failures.is_gone(place.name)]
    waiting = waiting[:limit] if limit else waiting
    log.info("fetching %d recordings, about %s", len(waiting), duration(len(waiting) * (between + REQUEST)))
    fetched, in_a_row, last_report = 0, 0, time.monotonic()
    for number, (place, key) in enumerate(waiting):
        if number:
            pause(between * random.uniform(0.5, 1.5))
        error = _fetch_one(program, place, key, timeout, note)
        if not error:
            fetched, in_a_row = fetched + 1, 0
        else:
            kind = "later" if BUSY.search(error) or not GONE.search(error) else "gone"
            failures.add(place.name, kind, error)
            in_a_row = 0 if kind == "gone" else in_a_row + 1
            if in_a_row >= PATIENCE:
                log.warning("stopped fetching after %d failures in a row: %s (run again later)", in_a_row, error)
                break
        if time.monotonic() - last_report > REPORT:
            left = duration((len(waiting) - number - 1) * (between + REQUEST))
            log.info("fetched %d of %d requested, about %s left", fetched, number + 1, left)
            last_report = time.monotonic()
    return fetched


def find_program(command: str) -> str:
    """Return the absolute path of yt-dlp, which runs in a folder of its own; raise UserError if there is none."""
    if (program := shutil.which(command)) is None:
        raise UserError(f"{command}: no such program (pip install '.[fetch]', and ffmpeg, or give --yt-dlp)")
    return str(Path(program).absolute())


def _fetch_one(command: str, place: Path, key: Key, timeout: float, note: Callable[[Path], None]) -> str:
    """Fetch one recording; return "", or why it failed."""
    scratch = place.parent / ".fetching"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    times = re.fullmatch(r".*[_-](\d+(?:\.\d+)?)[_-](\d+(?:\.\d+)?)", place.stem)  # start and end in seconds
    has_end = times is not None and round(1000 * float(times[1])) == key.start  # otherwise the id ends in digits
    end = round(1000 * float(times[2])) if times and has_end else key.start + LENGTH  # milliseconds
    options = ["--ignore-config", "--no-playlist", "--no-progress", "--retries", "3", "--socket-timeout", "30"]
    # --force-keyframes-at-cuts encodes the section again, since a copied stream can only be cut near the times stated.
    options += ["-f", "bestaudio/best", "-x", "--audio-format", "wav", "--force-keyframes-at-cuts"]
    options += ["--download-sections", f"*{key.start / 1000:.3f}-{end / 1000:.3f}", "-o", "recording.%(ext)s"]
    finished = _run([command, *options, f"https://www.youtube.com/watch?v={key.video}"], scratch, timeout)
    if finished is None:
        shutil.rmtree(scratch, ignore_errors=True)
        return f"not finished after {timeout:.0f} s"
    code, messages = finished
    result = scratch / "recording.wav"
    if code == 0 and result.is_file() and result.stat().st_size > WAV_HEADER:
        note(place)
        result.replace(place)
        shutil.rmtree(scratch, ignore_errors=True)
        return ""
    lines = [line for line in messages.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")] or lines[-1:]
    shutil.rmtree(scratch, ignore_errors=True)
    reason = errors[-1].removeprefix("ERROR:").strip() if errors else ""
    return reason or f"exit {code}, and no file"


def _run(command: list[str], folder: Path, timeout: float) -> tuple[int, str] | None:
    """Run yt-dlp in a folder; return its exit status and its messages, or None if it did not end in time."""
    with subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as process:
        try:
            _, messages = process.communicate(timeout=timeout)
            return process.returncode, messages
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)  # yt-dlp then ends its ffmpeg, which would go on after SIGKILL
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
            return None
        finally:
            process.kill()
