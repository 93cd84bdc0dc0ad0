"""Stage 0 on a made-up DESED: from a failing server, killed, offline, with too little disk space."""

import errno
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from faulty_server import Faults, made_up_desed, zipped
from paths import ROOT

from sed.data.download import archive
from sed.data.download.checksums import is_checked
from sed.data.download.fetch import Fetcher
from sed.data.download.hosts import Hosts
from sed.data.download.parts import Parts
from sed.data.download.sources import read_copies, read_records
from sed.errors import RunError, UserError
from sed.progress import duration, human

TABLE = ROOT / "local" / "desed_records.tsv"
COPIES = read_copies(TABLE.with_name("desed_copies.tsv"))
ROWS = {part: rows for part, rows in read_records(TABLE).items() if part not in COPIES}
# the parts that stage 0 downloads without --research-only
FREE = {**ROWS, "xares": read_records(TABLE)["xares"]}
ZIP = ROWS["synthetic"][0]


def stage(folder: Path, mirror: str, **kwargs) -> Parts:
    folder.mkdir(exist_ok=True)
    fetcher = Fetcher(timeout=kwargs.pop("timeout", 10.0), backoff=0.01, retries=kwargs.pop("retries", 8))
    return Parts(folder, fetcher=fetcher, hosts=Hosts(fetcher, mirror), **kwargs)


def corpus(folder: Path) -> dict[str, str]:
    """Return the digest of each visible file in a downloads folder, except archives."""
    files = (p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".") and "archives" not in p.parts)
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(files)}


@pytest.fixture(scope="module")
def made_up():
    return made_up_desed()


@pytest.fixture
def whole(serve, made_up, tmp_path):
    """The corpus as a server without faults gives it."""
    stage(tmp_path / "whole", serve(**made_up).url).get(ROWS)
    return corpus(tmp_path / "whole")


def test_the_layout_is_deseds(whole):
    # synthetic recordings and their tables, metadata, strong, public, soundbank, ast, panns, atst_frame and beats
    assert len(whole) == 40 + 2 + 3 + 1 + 6 + 2 + 1 + 1 + 2
    for path in (
        "audio/train/synthetic21_train/soundscapes/0.wav",
        "audio/validation/synthetic21_validation/soundscapes/9.wav",
        "audio/eval/public/P0000000000_120_130.wav",
        "metadata/train/audioset_strong.tsv",
        "metadata/train/weak.tsv",
        "metadata/validation/validation.tsv",
        "metadata/validation/synthetic21_validation/soundscapes.tsv",
        "metadata/eval/public.tsv",
        "ast.safetensors",
    ):
        assert path in whole


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(2))
def test_the_corpus_is_whole_after_every_fault_at_random(serve, made_up, whole, tmp_path, seed):
    faults = Faults(error=0.15, busy=0.1, drop=0.2, stall=0.1, wrong=0.1, seed=seed, stalled=0.5, most=40)
    # GitHub states no digest of these two, so a wrong byte in them cannot be seen.
    rows = {part: rows for part, rows in ROWS.items() if part not in ("atst_frame", "beats")}
    expected = {name: digest for name, digest in whole.items() if name not in ("atst_frame.pth", "beats.pth")}
    stage(tmp_path / "d", serve(**made_up, faults=faults).url, retries=30, timeout=0.3).get(rows)
    assert corpus(tmp_path / "d") == expected and len(expected) == len(whole) - 2
    assert faults.kinds
    assert not [p for p in (tmp_path / "d").rglob("*") if p.name.endswith((".part", ".unpacking", ".tag"))]


def test_a_second_run_sends_no_request_and_a_lost_file_is_restored(serve, made_up, whole, tmp_path):
    server = serve(**made_up)
    parts = stage(tmp_path / "d", server.url)
    parts.get(ROWS)
    asked = len(server.requests)
    assert stage(tmp_path / "d", server.url).missing(ROWS) == {}
    (tmp_path / "d/metadata/train/weak.tsv").unlink()
    again = stage(tmp_path / "d", "http://127.0.0.1:9")  # the archive is there: no network is needed
    missing = again.missing(ROWS)
    assert list(missing) == ["metadata"]
    again.get(missing)
    assert corpus(tmp_path / "d") == whole
    assert len(server.requests) == asked


def table(tmp_path: Path, *lines: str) -> dict[str, list]:
    """Return the rows of a table of these lines, with blanks for tabs."""
    (tmp_path / "t.tsv").write_text(
        "\n".join(line.replace(" ", "\t") for line in ("part source file into holds", *lines))
    )
    return read_records(tmp_path / "t.tsv")


def test_a_part_whose_files_or_rows_have_changed_is_made_again(serve, tmp_path):
    server = serve(zenodo={"1": {"a.zip": zipped({"x/1": b"one", "x/2": b"two"}), "b.tsv": b"b"}})
    both = table(tmp_path, "p zenodo:1 a.zip in x", "p zenodo:1 b.tsv b.tsv -")
    folder = tmp_path / "d"
    stage(folder, server.url).get(both)
    assert stage(folder, server.url).missing(both) == {}
    assert [*stage(folder, server.url).missing(table(tmp_path, "p zenodo:1 a.zip in x"))] == ["p"]
    assert [*stage(folder, server.url).missing(table(tmp_path, "p zenodo:1 c.zip in x", "p zenodo:1 b.tsv b -"))] == [
        "p"
    ]
    (folder / "in" / "x" / "1").write_bytes(b"on")  # shorter
    again = stage(folder, server.url)
    assert [*again.missing(both)] == ["p"]
    again.get(both)
    assert (folder / "in" / "x" / "1").read_bytes() == b"one" and stage(folder, server.url).missing(both) == {}


def test_a_file_that_was_edited_is_named_before_the_archive_s_replaces_it(serve, tmp_path, caplog):
    """A label corrected in downloads/ would otherwise be gone without a word of which file it was in."""
    server = serve(zenodo={"1": {"a.zip": zipped({"x/1": b"one", "x/2": b"two"})}})
    rows = table(tmp_path, "p zenodo:1 a.zip in x")
    stage(tmp_path / "d", server.url).get(rows)
    (tmp_path / "d/in/x/2").write_bytes(b"three")
    assert [*stage(tmp_path / "d", server.url).missing(rows)] == ["p"]
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert said[0] == f"p: 1 of its 2 files are gone or changed, the first {tmp_path}/d/in/x/2: made again"


def test_archives_that_a_kill_left_of_a_finished_part_are_dropped(serve, tmp_path):
    server = serve(zenodo={"1": {"a.zip": zipped({"x/1": b"one"})}})
    rows = table(tmp_path, "p zenodo:1 a.zip in x")
    stage(tmp_path / "d", server.url).get(rows)
    assert (tmp_path / "d/archives/a.zip").exists()
    assert stage(tmp_path / "d", server.url, keep_archives=False).missing(rows) == {}
    assert list((tmp_path / "d/archives").iterdir()) == []


def test_a_part_is_marked_when_its_files_are_on_the_disk(serve, tmp_path, monkeypatch):
    server = serve(zenodo={"1": {"b.tsv": b"b"}})
    found = []
    monkeypatch.setattr(
        os, "sync", lambda: found.append([(tmp_path / "d" / name).exists() for name in ("b", ".p.done")])
    )
    stage(tmp_path / "d", server.url).get(table(tmp_path, "p zenodo:1 b.tsv b -"))
    assert found == [[True, False]] and (tmp_path / "d" / ".p.done").exists()


def test_only_what_the_table_names_is_put_into_the_corpus_itself(serve, tmp_path):
    """Below a folder of its own, an archive is unpacked with all that it has."""
    server = serve(zenodo={"1": {"a.zip": zipped({"w/x/1": b"one", "w/README": b"r", "w/other/2": b"2"})}})
    stage(tmp_path / "d", server.url).get(table(tmp_path, "p zenodo:1 a.zip . x", "q zenodo:1 a.zip in x"))
    assert set(corpus(tmp_path / "d")) == {"x/1", "in/x/1", "in/README", "in/other/2"}
    assert {path.name for path in (tmp_path / "d").iterdir()} == {"x", "in", "archives", ".p.done", ".q.done"}


def test_on_a_drive_without_hard_links_files_are_copied(serve, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    stage(tmp_path / "d", serve(zenodo={"1": {"b.tsv": b"b"}}).url).get(table(tmp_path, "p zenodo:1 b.tsv in/b -"))
    assert (tmp_path / "d/in/b").read_bytes() == b"b"


def test_if_the_fallback_fails_too_both_reasons_are_stated(serve, tmp_path):
    server = serve(zenodo={"1": {}})
    server.status["/b.tsv"] = 410
    rows = table(tmp_path, "p zenodo:1 b.tsv b -", "p or:https://example.org/b.tsv b.tsv b -")
    with pytest.raises(UserError, match=r"has no file b\.tsv, .*; \S+/b\.tsv: the server answered 410"):
        stage(tmp_path / "d", server.url, retries=0).get(rows)


def test_archives_can_be_dropped(serve, made_up, whole, tmp_path):
    server = serve(**made_up)
    stage(tmp_path / "d", server.url, keep_archives=False).get(ROWS)
    assert list((tmp_path / "d" / "archives").iterdir()) == []
    assert corpus(tmp_path / "d") == whole
    assert stage(tmp_path / "d", server.url).missing(ROWS) == {}


def test_the_authors_link_is_the_fallback_for_hugging_face(serve, made_up, tmp_path):
    checkpoint = zipped({"archive/data.pkl": b"x" * 1000})
    other = {"/s/ca0b1v2nlxzyeb4/audioset_10_10_0.4593.pth": checkpoint}
    server = serve(zenodo=made_up["zenodo"], other=other)
    stage(tmp_path / "d", server.url).get({"ast": ROWS["ast"]})
    assert (tmp_path / "d" / "ast.pth").read_bytes() == checkpoint
    assert stage(tmp_path / "d", server.url).missing({"ast": ROWS["ast"]}) == {}
    server.other = dict.fromkeys(other, checkpoint[:-30])
    with pytest.raises(UserError, match="not a whole checkpoint"):
        stage(tmp_path / "e", server.url).get({"ast": ROWS["ast"]})
    assert corpus(tmp_path / "e") == {} and not list((tmp_path / "e" / "archives").glob("*.pth")), "it would be kept"


def test_files_of_one_name_from_two_records_are_both_downloaded(serve, tmp_path):
    """Once, the first to be downloaded was used for both."""
    header = "part\tsource\tfile\tinto\tholds\n"
    (tmp_path / "t.tsv").write_text(header + "a\tzenodo:1\taudio.zip\tone\tx\nb\tzenodo:2\taudio.zip\ttwo\tx\n")
    server = serve(zenodo={str(n): {"audio.zip": zipped({"x/y": b"%d" % n * 1000})} for n in (1, 2)})
    rows = read_records(tmp_path / "t.tsv")
    stage(tmp_path / "d", server.url).get(rows)
    assert [(tmp_path / "d" / name / "x/y").read_bytes() for name in ("one", "two")] == [b"1" * 1000, b"2" * 1000]
    assert stage(tmp_path / "d", server.url).missing(rows) == {}


def test_files_of_one_name_by_hand_are_in_folders_of_their_parts(tmp_path):
    header = "part\tsource\tfile\tinto\tholds\n"
    (tmp_path / "t.tsv").write_text(header + "a\tzenodo:1\tx.tsv\tone\t-\nb\tzenodo:2\tx.tsv\ttwo\t-\n")
    rows = read_records(tmp_path / "t.tsv")
    offline = "http://127.0.0.1:9"
    with pytest.raises(RunError, match=r"or place a/x.tsv \(\S+/1\), b/x.tsv \(\S+/2\) in a folder"):
        stage(tmp_path / "d", offline, retries=0).get(rows)
    for part in "ab":
        (tmp_path / "usb" / part).mkdir(parents=True)
        (tmp_path / "usb" / part / "x.tsv").write_text(part)
    (tmp_path / "usb" / "x.tsv").write_text("of neither")
    stage(tmp_path / "d", offline, retries=0, archives=[tmp_path / "usb"]).get(rows)
    assert [(tmp_path / "d" / name).read_text() for name in ("one", "two")] == ["a", "b"]


@pytest.mark.thorough
def test_two_parts_may_share_an_archive(serve, tmp_path):
    header = "part\tsource\tfile\tinto\tholds\n"
    (tmp_path / "t.tsv").write_text(header + "a\tzenodo:1\taudio.zip\tone\tx\nb\tzenodo:1\taudio.zip\ttwo\tx\n")
    content = random.Random(0).randbytes(3_000_000)
    server = serve(zenodo={"1": {"audio.zip": zipped({"x/y": content})}}, rate=3_000_000)  # a second, in which both ask
    stage(tmp_path / "d", server.url).get(read_records(tmp_path / "t.tsv"))
    assert [(tmp_path / "d" / name / "x/y").read_bytes() for name in ("one", "two")] == [content] * 2


def test_a_download_stays_until_all_parts_that_share_it_are_finished(serve, tmp_path, monkeypatch):
    server = serve(zenodo={"1": {"a.zip": zipped({"x/1": b"one"}), "b.tsv": b"b"}})
    rows = table(
        *(tmp_path, "p zenodo:1 a.zip in x", "p zenodo:1 b.tsv b -", "q zenodo:1 a.zip also x", "q zenodo:1 b.tsv c -")
    )
    place, done = Parts._place, threading.Event()

    def late(parts, part, row, path):
        assert part == "p" or done.wait(20)
        return place(parts, part, row, path)

    def get(parts, part, files, get=Parts._get):
        get(parts, part, files)
        done.set()

    monkeypatch.setattr(Parts, "_place", late)
    monkeypatch.setattr(Parts, "_get", get)
    stage(tmp_path / "d", server.url, keep_archives=False).get(rows)
    assert (tmp_path / "d/also/x/1").read_bytes() == b"one" and (tmp_path / "d/c").read_bytes() == b"b"
    asked = len(server.requests)
    assert list((tmp_path / "d/archives").iterdir()) == []
    (tmp_path / "d/.q.done").unlink()
    (tmp_path / "d/archives/a.zip").write_bytes(b"begun")
    assert [*stage(tmp_path / "d", server.url, keep_archives=False).missing(rows)] == ["q"]
    assert (tmp_path / "d/archives/a.zip").exists() and len(server.requests) == asked


def test_a_fallback_need_not_be_a_checkpoint(serve, tmp_path):
    server = serve(zenodo={"1": {}}, other={"/a.tsv": b"filename\n"})
    (tmp_path / "t.tsv").write_text(
        "part\tsource\tfile\tinto\tholds\n"
        "a\tzenodo:1\ta.tsv\ta.tsv\t-\na\tor:https://example.org/a.tsv\ta.tsv\ta.tsv\t-\n"
    )
    stage(tmp_path / "d", server.url, retries=1).get(read_records(tmp_path / "t.tsv"))
    assert (tmp_path / "d" / "a.tsv").read_bytes() == b"filename\n"


def test_archives_in_a_folder_need_no_network_and_are_checked(serve, made_up, whole, tmp_path):
    offline = tmp_path / "usb"
    offline.mkdir()
    for files in (record for host in made_up.values() for record in host.values()):
        for name, content in files.items():
            (offline / name).parent.mkdir(parents=True, exist_ok=True)
            (offline / name).write_bytes(content)
    stage(tmp_path / "d", "http://127.0.0.1:9", archives=[offline], retries=0).get(ROWS)
    assert corpus(tmp_path / "d") == whole
    server = serve(**made_up)
    stage(tmp_path / "c", server.url, archives=[offline]).get({"synthetic": [ZIP]})
    assert is_checked(offline / ZIP.file).startswith("md5:"), "the next run does not read it again"
    (offline / ZIP.file).write_bytes((offline / ZIP.file).read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match=rf"{ZIP.file}: is not the record's file: checksum"):
        stage(tmp_path / "e", server.url, archives=[offline]).get(ROWS)
    assert "metadata/train/weak.tsv" in corpus(tmp_path / "e"), "what is good stays"


def test_without_network_the_message_lists_the_files_to_provide(tmp_path):
    with pytest.raises(RunError) as error:
        stage(tmp_path / "d", "http://127.0.0.1:9", retries=0).get(ROWS)
    assert "dcase_synth.zip (https://zenodo.org/records/6026841)" in str(error.value)
    assert "--archives" in str(error.value)


def test_parts_are_placed_one_at_a_time(serve, made_up, tmp_path, monkeypatch):
    """Else a folder that one part has made, and not filled yet, could be replaced by another's."""
    inside, at_once, merge, place_file = [], [], archive.merge, Parts._place_file

    def counted(call, *args):
        inside.append(threading.get_ident())  # a merge of folders within folders is several calls of one thread
        at_once.append(len(set(inside)))
        time.sleep(0.01)
        found = list(call(*args))
        inside.remove(threading.get_ident())
        return found

    monkeypatch.setattr(archive, "merge", lambda *args: counted(merge, *args))
    monkeypatch.setattr(Parts, "_place_file", lambda *args: counted(place_file, *args))
    stage(tmp_path / "d", serve(**made_up).url).get(ROWS, jobs=4)
    assert len(at_once) >= len(ROWS) and set(at_once) == {1}


def test_a_part_that_fails_does_not_stop_the_others(serve, made_up, tmp_path):
    server = serve(**made_up)
    server.status["/records/6026841/files/dcase_synth.zip"] = 404
    with pytest.raises(UserError, match=r"dcase_synth.zip\?download=1: the server answered 404"):
        stage(tmp_path / "d", server.url).get(ROWS)
    assert "audio/eval/public/P0000000000_120_130.wav" in corpus(tmp_path / "d")


def test_too_little_disk_space_is_reported_before_any_download(serve, made_up, tmp_path, monkeypatch):
    server = serve(**made_up)
    monkeypatch.setattr("shutil.disk_usage", lambda _path: SimpleNamespace(free=1000))
    with pytest.raises(UserError, match=r"MB needed for synthetic, .*, 1 kB free"):
        stage(tmp_path / "d", server.url).get(ROWS)
    assert not [path for path, _ in server.requests if "/files/" in path]


def test_size_time_and_disk_are_stated_before_anything_is_downloaded(serve, made_up, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("sed.data.download.parts.LINE", 1e6)
    with caplog.at_level("INFO", "sed.fetch"):
        stage(tmp_path / "d", serve(**made_up).url, copies=COPIES).get(FREE)
    files = {name: len(body) for host in made_up.values() for record in host.values() for name, body in record.items()}
    sizes = {row.file: files[row.file] for rows in ROWS.values() for row in rows}
    shards = sum(size for name, size in files.items() if name.startswith("wds-audio"))
    left = sum(sizes.values()) + shards
    # twice: archives, and what is in them
    needed = left + sum(sizes[row.file] for rows in ROWS.values() for row in rows if row.holds) + shards
    stated = next(message for message in caplog.messages if "to download" in message)
    expected = f"{human(left)} to download ({duration(8 * left / 1e6)} at 1 Mbit/s), {human(needed)} of disk needed"
    assert stated.startswith(expected) and "done" not in "".join(caplog.messages[: caplog.messages.index(stated)])


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_line_and_keeps_the_downloads(serve, made_up, whole, tmp_path, monkeypatch, number):
    server, unpack = serve(**made_up), archive.unpack

    def full(path, *args, **kwargs):
        if path.name == ZIP.file:
            raise OSError(number, os.strerror(number))
        return unpack(path, *args, **kwargs)

    monkeypatch.setattr("sed.data.download.archive.unpack", full)
    with pytest.raises(UserError, match="no space left for synthetic"):
        stage(tmp_path / "d", server.url).get(ROWS)
    monkeypatch.undo()
    sent = server.sent
    again = stage(tmp_path / "d", server.url)
    again.get(again.missing(ROWS))
    assert (corpus(tmp_path / "d"), server.sent) == (whole, sent)


def test_an_archive_of_another_layout_is_refused(serve, made_up, tmp_path):
    records = made_up["zenodo"] | {"6026841": {ZIP.file: zipped({"other/a.wav": b"1"})}}
    with pytest.raises(UserError, match=r"no folder with audio or metadata"):
        stage(tmp_path / "d", serve(zenodo=records).url).get({"synthetic": [ZIP]})
    assert corpus(tmp_path / "d") == {}


def test_a_malicious_record_is_refused_and_the_others_stay(serve, made_up, tmp_path):
    evil = {"6026841": {ZIP.file: zipped({"audio/a.wav": b"1", "../../evil": b"1"})}}
    with pytest.raises(UserError, match=r"dcase_synth.zip: refused: a path with '..': '../../evil'"):
        stage(tmp_path / "d", serve(**made_up | {"zenodo": made_up["zenodo"] | evil}).url).get(ROWS)
    assert "audio/eval/public/P0000000000_120_130.wav" in corpus(tmp_path / "d")
    assert not [p for p in tmp_path.rglob("*") if "evil" in p.name or "a.wav" in p.name]


def test_a_record_without_the_file_is_refused(serve, tmp_path):
    server = serve(zenodo={"6026841": {"other.zip": b""}})
    with pytest.raises(UserError, match=r"records/6026841: has no file dcase_synth.zip, only other.zip"):
        stage(tmp_path / "d", server.url).get({"synthetic": [ZIP]})


@pytest.mark.parametrize("line", ["a\tb", "a\tftp:1\tx\ty\t-", "a\tzenodo:1\tx\t../y\t-", "a\tor:http://x\tx\ty\t-"])
def test_broken_tables_name_the_line(tmp_path, line):
    table = tmp_path / "t.tsv"
    table.write_text("part\tsource\tfile\tinto\tholds\n" + line + "\n")
    with pytest.raises(UserError, match=r"t.tsv:2: "):
        read_records(table)


def test_the_realdesed_table_reads():
    assert [row.file for rows in read_records(ROOT / "local/realdesed_records.tsv").values() for row in rows][:3] == [
        "train.zip",
        "validation.zip",
        "test.zip",
    ]


def command(server, folder: Path) -> list[str]:
    options = ["--mirror", server.url, "--timeout", "1", "--retries", "60", "--backoff", "0.02"]
    return [sys.executable, "-m", "sed.bin.download", *options, str(TABLE), str(folder)]


@pytest.mark.slow
def test_twenty_kills_cost_at_most_a_tenth_more_downloads(serve, tmp_path):
    chance = random.Random(7)
    big = made_up_desed(scale=60_000)
    del big["huggingface"]["datasets/minhleduc/DESED"]
    # A wrong byte costs a damaged member of a zip file, but all of a file of another kind.
    faults = Faults(
        error=0.1, busy=0.05, drop=0.15, stall=0.05, wrong=0.1, wrong_in=".zip", seed=1, stalled=1.2, most=60
    )
    server = serve(**big, faults=faults, rate=250_000)
    expected = tmp_path / "expected"
    stage(expected, serve(**big).url, copies=COPIES).get(FREE)
    size = server.size
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    kills = 0
    while kills < 20:
        run = subprocess.Popen(command(server, tmp_path / "d"), env=environment, stderr=subprocess.PIPE)
        before, deadline = len(server.requests), time.monotonic() + 30
        # a kill after a request of this run; every fourth may come before it
        while kills % 4 and len(server.requests) == before and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.5))
        run.send_signal(signal.SIGKILL)
        run.communicate()
        kills += 1
    assert server.sent < size, "it was done before it was killed twenty times"
    last = subprocess.run(command(server, tmp_path / "d"), env=environment, capture_output=True, text=True)
    assert last.returncode == 0, last.stderr
    assert corpus(tmp_path / "d") == corpus(expected)
    print(f"{server.sent} bytes sent for {size}: {server.sent / size:.3f}; {json.dumps(faults.kinds)}")
    assert server.sent <= 1.1 * size
