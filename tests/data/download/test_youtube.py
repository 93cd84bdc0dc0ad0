"""Fetching of recordings by a stand-in for yt-dlp that requests them from a loopback server."""

import os
import signal
import stat
import sys
from pathlib import Path

import pytest

from sed.data.download import youtube as module
from sed.data.download.audioset import Key, named
from sed.data.download.youtube import Failures, fetch
from sed.errors import UserError

STAND_IN = """#!{python} -SE
import sys, time, urllib.error, urllib.request
video = sys.argv[-1].rpartition("=")[2]
assert sys.argv[-1].startswith("https://www.youtube.com/watch?v=") and "--download-sections" in sys.argv
section = sys.argv[sys.argv.index("--download-sections") + 1]
try:
    with urllib.request.urlopen("{url}/" + video) as answer:
        data = answer.read()
except urllib.error.HTTPError as error:
    print("WARNING: something", file=sys.stderr)
    print("ERROR: [youtube] " + video + ": " + {{404: "Video unavailable", 500: "Unable to download",
          429: "HTTP Error 429: Too Many Requests"}}[error.code], file=sys.stderr)
    sys.exit(1)
open("recording.wav", "wb").write(data + section.encode())
"""


@pytest.fixture
def youtube(serve, tmp_path):
    """A server of videos, a program that asks it, and 8 places to fill."""
    videos = [f"{i:011d}" for i in range(8)]
    server = serve(other={f"/{video}": video.encode() * 10 for video in videos})
    program = tmp_path / "yt-dlp"
    program.write_text(STAND_IN.format(python=sys.executable, url=server.url))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    places = [(tmp_path / "audio" / f"Y{v}_{i}.000_{i + 10}.000.wav", Key(v, 1000 * i)) for i, v in enumerate(videos)]
    return server, str(program), places


@pytest.mark.thorough
def test_available_recordings_are_fetched_and_the_others_listed(youtube, tmp_path):
    server, program, places = youtube
    server.status = {"/" + places[1][1].video: 404, "/" + places[2][1].video: 500}
    slept = []
    failures = Failures(tmp_path / "not_fetched.tsv")
    assert fetch(places, failures, command=program, between=4.0, pause=slept.append) == 6
    assert len(slept) == 7 and all(2 <= s <= 6 for s in slept)
    assert places[3][0].read_bytes() == b"00000000003" * 10 + b"*3.000-13.000"
    assert (tmp_path / "not_fetched.tsv").read_text().splitlines() == [
        "filename\tkind\treason",
        f"{places[1][0].name}\tgone\t[youtube] 00000000001: Video unavailable",
        f"{places[2][0].name}\tlater\t[youtube] 00000000002: Unable to download",
    ]
    # The next run requests only the one that failed for now.
    server.status, asked = {}, len(server.requests)
    again = Failures(tmp_path / "not_fetched.tsv")
    assert fetch(places, again, command=program, pause=slept.append) == 1
    assert [path for path, _ in server.requests[asked:]] == ["/" + places[2][1].video]
    assert again.reason(places[1][0].name) == "[youtube] 00000000001: Video unavailable"
    assert sorted(p.name for p in (tmp_path / "audio").iterdir()) == sorted(
        p.name for i, (p, _) in enumerate(places) if i != 1
    )


def test_a_recording_without_samples_is_not_there_and_is_no_success(youtube, tmp_path):
    """Once, what ffmpeg writes of an empty section counted as fetched, and an empty file was never fetched."""
    server, program, places = youtube
    places[0][0].parent.mkdir()
    places[0][0].touch()
    header = b"RIFF" + bytes(74 - len("*1.000-11.000"))  # the stand-in adds the section; 78 bytes in all
    server.other["/" + places[1][1].video] = header
    failures = Failures(tmp_path / "not_fetched.tsv")
    assert fetch(places[:2], failures, command=program, pause=lambda _s: None) == 1
    assert places[0][0].stat().st_size and not places[1][0].exists()
    assert failures.reason(places[1][0].name) == "exit 0, and no file"


def test_an_error_without_a_message_is_a_failure(youtube, tmp_path):
    """Once, it counted as fetched."""
    _, program, places = youtube
    Path(program).write_text("#!/bin/sh\necho ERROR: >&2\nexit 1\n")
    failures = Failures(tmp_path / "not_fetched.tsv")
    assert fetch(places[:1], failures, command=program) == 0
    assert failures.reason(places[0][0].name) == "exit 1, and no file"


@pytest.mark.parametrize(
    ("name", "section"),
    [("Y00000000_12_30.wav", "*30.000-40.000"), ("00000000_12-30-35.5.wav", "*30.000-35.500")],
    ids=["digits of the id before the start, no end", "hyphens"],
)
def test_the_section_is_that_of_the_name(youtube, tmp_path, name, section):
    server, program, _ = youtube
    server.other["/00000000_12"] = bytes(100)
    place = tmp_path / name
    assert fetch([(place, named(name))], Failures(tmp_path / "f.tsv"), command=program) == 1
    assert place.read_bytes().endswith(section.encode())


def test_five_refusals_in_a_row_end_the_fetching(youtube, tmp_path):
    server, program, places = youtube
    server.status = {"/" + key.video: 429 for _, key in places}
    assert fetch(places, Failures(tmp_path / "f.tsv"), command=program, pause=lambda _s: None) == 0
    assert len(server.requests) == 5


GONE, BUSY = "Video unavailable", "Requested format is not available"


@pytest.mark.parametrize(
    ("answers", "requests", "gone"),
    [
        ([GONE] * 8, 8, 8),  # the server did answer
        ([BUSY] * 8, 5, 0),  # "not available" as well, but only for now
        ([BUSY] * 4 + [""] + [BUSY] * 3, 8, 0),
        ([BUSY] * 4 + [GONE] + [BUSY] * 3, 8, 1),
        (["sign in to confirm you're not a bot: Video unavailable"] * 8, 5, 0),
        (["something else"] * 8, 5, 0),
    ],
)
def test_five_failures_in_a_row_end_the_fetching_but_not_videos_that_are_gone(
    tmp_path, monkeypatch, answers, requests, gone
):
    left, waits = list(answers), []
    monkeypatch.setattr(module, "_fetch_one", lambda *_: left.pop(0))
    places = [(tmp_path / f"{n}.wav", Key(f"{n:011d}", 0)) for n in range(8)]
    failures = Failures(tmp_path / "f.tsv")
    fetched = fetch(places, failures, command=sys.executable, between=4.0, pause=waits.append)
    assert (fetched, 8 - len(left)) == (answers[:requests].count(""), requests)
    assert len(waits) == requests - 1 and all(2 <= wait <= 6 for wait in waits)
    assert sum(failures.is_gone(place.name) for place, _ in places) == gone


def test_a_recording_is_noted_before_it_is_in_its_place(youtube, tmp_path):
    _, program, places = youtube
    noted = []

    def note(place):
        noted.append((place, place.exists()))

    fetch(places[:1], Failures(tmp_path / "f.tsv"), command=program, note=note)
    assert noted == [(places[0][0], False)] and places[0][0].exists()


def test_a_program_that_fails_or_does_not_end_leaves_no_recording(tmp_path):
    for script, timeout, reason in (
        ("head -c 200 /dev/zero >recording.wav; exit 3", 60.0, "exit 3, and no file"),
        ("head -c 200 /dev/zero >recording.wav; exec sleep 60", 0.2, "not finished after 0 s"),
    ):
        (tmp_path / "yt-dlp").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "yt-dlp").chmod(0o755)
        failures, place = Failures(tmp_path / "f.tsv"), tmp_path / "audio" / "a.wav"
        assert fetch([(place, Key("0" * 11, 0))], failures, command=str(tmp_path / "yt-dlp"), timeout=timeout) == 0
        assert failures.reason("a.wav") == reason and not place.exists()


@pytest.mark.thorough
def test_a_request_that_is_given_up_leaves_no_process_running(tmp_path):
    script = "sleep 60 & echo $! >%s; trap 'kill $!; wait; exit 130' INT; wait" % (tmp_path / "downloader")
    (tmp_path / "yt-dlp").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "yt-dlp").chmod(0o755)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's jobs in the background ignore it
    try:
        place = tmp_path / "audio" / "a.wav"
        failures = Failures(tmp_path / "f.tsv")
        fetch([(place, Key("0" * 11, 0))], failures, command=str(tmp_path / "yt-dlp"), timeout=1.0)
    finally:
        signal.signal(signal.SIGINT, before)
    assert failures.reason("a.wav") == "not finished after 1 s"
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "downloader").read_text()), 0)
    assert not [*place.parent.iterdir()]


def test_at_most_limit_recordings_are_requested(youtube, tmp_path):
    server, program, places = youtube
    assert fetch(places, Failures(tmp_path / "f.tsv"), command=program, limit=1) == 1
    assert len(server.requests) == 1


def test_an_incomplete_line_of_a_killed_run_is_dropped(tmp_path):
    path = tmp_path / "f.tsv"
    path.write_bytes("filename\tkind\treason\na.wav\tgone\tprivate\né".encode()[:-1])  # cut within a letter
    Failures(path).add("c.wav", "later", "a\tb\nc")
    assert Failures(path).known == {"a.wav": ("gone", "private"), "c.wav": ("later", "a b c")}


def test_a_missing_program_is_refused(tmp_path):
    with pytest.raises(UserError, match="no such program"):
        fetch([], Failures(tmp_path / "f.tsv"), command=str(tmp_path / "nothing"))
