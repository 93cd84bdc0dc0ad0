"""Copies of recordings in folders and shards are found, compared, listed with their origin, and read only once."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import stat
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import soundfile
from faulty_server import zipped
from kills import kill_at_every_call
from paths import KIT, ROOT

from sed.data.download import audioset, collect
from sed.data.download.audioset import Set, read_sets
from sed.data.download.collect import Collection, find_shards
from sed.data.recordings import shown

IDS = [f"{n:09d}_-" for n in range(6)]
NAMES = [f"Y{i}_30.000_40.000.wav" for i in IDS]


def sound(seed: int, seconds: float = 0.2, suffix: str = "wav") -> bytes:
    """Return a file of noise at 8 kHz."""
    samples = np.random.default_rng(seed).normal(0, 0.1, int(8000 * seconds))
    soundfile.write(buffer := io.BytesIO(), samples, 8000, format=suffix)
    return buffer.getvalue()


def tar(path: Path, files: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as container:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            container.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    """A corpus of a strong set of recordings 0 to 3 and a weak one of 3 to 5."""
    folder = tmp_path / "downloads"
    (folder / "m").mkdir(parents=True)
    rows = [f"{name}\t{n}.25\t{n + 1}.5\tCat" for n, name in enumerate(NAMES[:4])]
    (folder / "m/v.tsv").write_text("\n".join(["filename\tonset\toffset\tevent_label", *rows]) + "\n")
    (folder / "m/w.tsv").write_text("\n".join(["filename\tevent_labels", *(f"{n}\tDog" for n in NAMES[3:])]) + "\n")
    (tmp_path / "table.tsv").write_text("metadata\taudio\nm/v.tsv\taudio/v\nm/w.tsv\taudio/w\n")
    return folder


def run(downloads: Path, *folders: Path) -> list[Set]:
    sets = read_sets(downloads.parent / "table.tsv", downloads)
    collection = Collection(sets, downloads)
    collection.link(audioset.index(folders, collection.places), folders)
    collection.close(collection.read_shards(find_shards(folders)))
    return sets


def test_origins_stay_while_the_metadata_of_their_set_are_absent(downloads: Path, tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    for number, name in enumerate(NAMES[2:5]):
        (given / name).write_bytes(sound(number))
    run(downloads, given)
    before = rows(downloads / "origins.tsv")
    assert {row["set"] for row in before} == {"v", "w"}
    (downloads / "m/w.tsv").rename(tmp_path / "w.tsv")
    run(downloads)
    assert rows(downloads / "origins.tsv") == before
    (tmp_path / "w.tsv").rename(downloads / "m/w.tsv")
    run(downloads)
    assert rows(downloads / "origins.tsv") == before


def test_a_shard_in_folders_that_overlap_is_read_once(tmp_path: Path) -> None:
    shard = tmp_path / "shards" / "1.tar"
    shard.parent.mkdir()
    tar(shard, {"x.wav": b""})
    (tmp_path / "link").symlink_to("shards")
    assert find_shards([shard.parent, tmp_path, shard, tmp_path / "link"]) == [shard]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file, delimiter="\t"))


def there(sets: list[Set]) -> list[int]:
    """Return how many recordings of each set are in its folder."""
    return [len(one.names) - len(one.missing) for one in sets]


def test_four_spellings_are_found_in_every_kind_of_shard_and_unknown_keys_listed(downloads: Path) -> None:
    copies = downloads.parent / "copies"
    flac = [sound(n, suffix="flac") for n in range(6)]
    tar(
        copies / "a/one.tar",
        {f"Y{IDS[0]}_30.000_40.000.flac": flac[0], f"{IDS[1]}_30_40.flac": flac[1], "12.wav": flac[5]},
    )
    two = {f"x/{IDS[2]}_30000_40000.flac": flac[2], f"x/{'z' * 11}_30.wav": flac[5]}
    (copies / "two.zip").write_bytes(zipped(two))
    columns = {"video_id": [IDS[3], IDS[4]], "audio": [{"bytes": flac[n], "path": None} for n in (3, 4)]}
    pyarrow.parquet.write_table(pyarrow.table(columns), copies / "three.parquet")
    sets = run(downloads, copies)
    assert there(sets) == [4, 2]
    for n, name in enumerate(NAMES[:5]):
        for place in (downloads / "audio/v" / name, downloads / "audio/w" / name):
            assert not place.exists() or place.read_bytes() == flac[n]
    assert (downloads / "audio/w" / NAMES[3]).read_bytes() == flac[3], "a recording of two sets is in both"
    root = str(copies)
    assert [(row["shard"], row["key"], row["why"]) for row in rows(downloads / "unknown_keys.tsv")] == [
        (f"{root}/a/one.tar", "12", "no YouTube id"),
        (f"{root}/two.zip", f"{'z' * 11}_30", "no recording of the metadata"),
    ]
    origins = {(row["set"], row["filename"]): row["origin"] for row in rows(downloads / "origins.tsv")}
    assert origins["v", NAMES[0]] == f"{root}/a/one.tar" and origins["w", NAMES[4]] == f"{root}/three.parquet"
    assert len(origins) == 6


def test_shards_are_read_once_and_again_if_recordings_are_gone(
    downloads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    members = collect.members

    def counted(path: Path) -> Iterator[collect.Member]:
        read.append(path.name)
        return members(path)

    monkeypatch.setattr(collect, "members", counted)
    copies = downloads / "copies" / "xares"
    tar(copies / "one.tar", {name: sound(n) for n, name in enumerate(NAMES[:2])})
    tar(copies / "two.tar", {"odd.wav": b"", **{name: sound(n) for n, name in enumerate(NAMES) if n > 1}})
    for _ in range(2):
        assert there(run(downloads, downloads / "copies")) == [4, 3]
        assert read == ["one.tar", "two.tar"]
        assert len(rows(downloads / "unknown_keys.tsv")) == 1, "what was unknown stays listed"
    (downloads / "audio/v" / NAMES[0]).unlink()
    assert there(run(downloads, downloads / "copies")) == [4, 3]
    assert read[2:] == ["one.tar"]
    # the origin of a downloaded shard is its path below copies/, that of any other shard its whole path
    assert {row["origin"] for row in rows(downloads / "origins.tsv")} == {"xares/one.tar", "xares/two.tar"}
    (downloads / "m/w.tsv").write_text(f"filename\tevent_labels\nY{'n' * 11}_0.000_10.000.wav\tDog\n")
    run(downloads, downloads / "copies")
    assert read[3:] == ["one.tar", "two.tar"], "other recordings are wanted"
    assert len(rows(downloads / "unknown_keys.tsv")) == 3


def test_folders_on_another_disk_are_filled_from_shards(downloads: Path, other_disk: Callable[[Path], None]) -> None:
    other_disk(downloads / ".collecting")
    tar(downloads / "copies/x/0.tar", {NAMES[3]: sound(3), NAMES[4]: sound(4)})
    assert there(run(downloads, downloads / "copies")) == [1, 2]
    assert [(downloads / "audio" / place / NAMES[3]).read_bytes() for place in "vw"] == [sound(3)] * 2


def test_notes_on_many_shards_are_written_now_and_then(downloads: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, all notes were written after each shard: hours for AudioSet, whose other recordings they list."""
    for n in range(40):
        tar(downloads / f"copies/x/{n}.tar", {f"{n}.wav": b"x"})
    written: list[int] = []

    def write_json(path: Path, value: dict[str, object]) -> None:
        time.sleep(0.2)
        written.append(len(value))
        path.write_text(json.dumps(value))

    monkeypatch.setattr(collect, "write_json", write_json)
    monkeypatch.setattr(os, "sync", lambda: None)
    run(downloads, downloads / "copies")
    # 40 tiny shards take much less than the 18 s in which ten writes would be due, 0.2 s of writing per 2 s
    assert written[0] == 1 and written[-1] == 40 and len(written) < 10


def test_a_first_line_that_a_kill_has_cut_costs_no_row(downloads: Path) -> None:
    (downloads / "origins.tsv").write_text("set\tfilename\tor")
    log = collect._Log(downloads / "origins.tsv", collect.ORIGINS)
    log.add(("v", NAMES[0], "x"))
    assert collect._Log(downloads / "origins.tsv", collect.ORIGINS).rows == [("v", NAMES[0], "x")]


def test_a_last_line_that_ends_within_a_letter_is_dropped(downloads: Path) -> None:
    """A full disk cuts lines anywhere."""
    row = ("v", NAMES[0], "/café")
    collect._Log(downloads / "origins.tsv", collect.ORIGINS).add(row)
    whole = (downloads / "origins.tsv").read_bytes()
    (downloads / "origins.tsv").write_bytes(whole + "v\tb.wav\t/é".encode()[:-1])
    assert collect._Log(downloads / "origins.tsv", collect.ORIGINS).rows == [row]
    assert (downloads / "origins.tsv").read_bytes() == whole


def test_differing_copies_are_listed_and_the_first_one_stays(downloads: Path) -> None:
    first, same, other = (downloads.parent / name for name in ("first", "same", "other"))
    for folder in (first, same):
        folder.mkdir()
        for n in range(3):
            (folder / NAMES[n]).write_bytes(sound(n))
    samples, rate = soundfile.read(io.BytesIO(sound(0)))
    soundfile.write(same / f"{IDS[0]}_30_40.flac", samples, rate)
    (same / NAMES[0]).unlink()
    changed = {0: sound(7), 1: sound(1, seconds=0.5), 2: sound(2)}
    tar(other / "a.tar", {f"{IDS[n]}_30_40.wav": body for n, body in changed.items()})
    for _ in range(2):
        run(downloads, first, same, other)
        assert (downloads / "audio/v" / NAMES[0]).read_bytes() == sound(0)
        found = rows(downloads / "differing_copies.tsv")
        assert [(row["filename"], row["other"]) for row in found] == [
            (NAMES[n], f"{other}/a.tar:{IDS[n]}_30_40") for n in (0, 1)
        ]
        assert found[0]["origin"] == str(first) and abs(float(found[0]["correlation"])) < 0.5
        assert float(found[1]["seconds"]) == pytest.approx(0.3, abs=0.01)


def test_a_copy_that_takes_the_place_of_one_that_is_gone_is_not_listed_as_differing(downloads: Path) -> None:
    for folder, seed in (("a", 1), ("b", 2)):
        (downloads.parent / folder).mkdir()
        (downloads.parent / folder / NAMES[0]).write_bytes(sound(seed))
    run(downloads, downloads.parent / "a", downloads.parent / "b")
    assert len(rows(downloads / "differing_copies.tsv")) == 1
    (downloads.parent / "a" / NAMES[0]).unlink()
    run(downloads, downloads.parent / "b")
    assert rows(downloads / "differing_copies.tsv") == []
    assert rows(downloads / "origins.tsv")[0]["origin"] == str(downloads.parent / "b")


@pytest.mark.parametrize("name", [b"copies \xff", b"cop\ties"], ids=["not UTF-8", "a tab"])
def test_folders_that_no_table_can_hold_are_escaped(downloads: Path, name: bytes) -> None:
    """Once, the first was a traceback, and the second made a table that no program reads."""
    folder = downloads.parent / os.fsdecode(name)
    tar(folder / "a.tar", {NAMES[0]: sound(0), "x\udcff.wav": sound(1)})
    (folder / NAMES[1]).write_bytes(sound(1))
    run(downloads, folder)
    origins = {row["filename"]: row["origin"] for row in rows(downloads / "origins.tsv")}
    escaped = shown(str(folder))
    assert origins == {NAMES[0]: f"{escaped}/a.tar", NAMES[1]: escaped}
    (downloads / "origins.tsv").unlink()
    run(downloads, folder)
    origins = {row["filename"]: row["origin"] for row in rows(downloads / "origins.tsv")}
    assert origins == {NAMES[0]: "there before", NAMES[1]: escaped}
    assert rows(downloads / "unknown_keys.tsv") == [
        {"shard": f"{escaped}/a.tar", "key": "x\\udcff", "why": "no YouTube id"}
    ]


def test_an_unreadable_copy_is_listed_as_differing(downloads: Path) -> None:
    good, bad = downloads.parent / "good", downloads.parent / "bad"
    for folder, body in ((good, sound(1)), (bad, b"RIFF")):
        folder.mkdir()
        (folder / NAMES[0]).write_bytes(body)
    run(downloads, good, bad)
    assert [row["correlation"] for row in rows(downloads / "differing_copies.tsv")] == ["nan"]


def test_keys_without_an_id_are_identified_by_their_annotations(downloads: Path) -> None:
    def events(*times: float) -> bytes:
        return json.dumps([{"onset": t, "offset": t + 1.25, "label": "Cat"} for t in times]).encode()

    files = {"000.wav": sound(0), "000.json": events(0.25), "001.json": events(1.25), "001.wav": sound(1)}
    files |= {"002.wav": sound(9), "002.json": events(2.25), "003.wav": sound(9), "003.json": events(2.25)}
    files |= {"004.wav": sound(9), "004.json": events(8.0), "005.wav": sound(9), "005.json": b"{"}
    tar(downloads / "copies/xares/a.tar", files)
    assert there(run(downloads, downloads / "copies")) == [2, 0]
    assert [(downloads / "audio/v" / NAMES[n]).read_bytes() == sound(n) for n in (0, 1)] == [True, True]
    assert [row["key"] for row in rows(downloads / "unknown_keys.tsv")] == ["002", "003", "004", "005"]


def test_only_recordings_that_were_taken_count_as_found_by_their_annotations(
    downloads: Path, log_lines: list[str]
) -> None:
    events = [json.dumps([{"onset": n + 0.25, "offset": n + 1.5, "label": "Cat"}]).encode() for n in range(2)]
    files = {"0.json": events[0], "0.wav": sound(0), "1.json": events[1], "1.wav": b""}
    shard = tar(downloads / "copies/xares/a.tar", files)
    assert there(run(downloads, downloads / "copies")) == [1, 0]
    assert f"{shard}: 1 recordings found by their annotations" in log_lines


def test_metadata_with_a_byte_order_mark_are_read(downloads: Path) -> None:
    """Once, they were refused: the mark was taken for a part of the first column's name."""
    table = downloads / "m/v.tsv"
    table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes())
    events = [{"onset": 0.25, "offset": 1.5, "label": "Cat"}]
    tar(downloads / "copies/x/a.tar", {"0.json": json.dumps(events).encode(), "0.wav": sound(0)})
    assert there(run(downloads, downloads / "copies")) == [1, 0]


def test_damaged_shards_are_one_line_and_members_before_the_damage_are_used(
    downloads: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shard = tar(downloads / "copies/xares/a.tar", {name: sound(n) for n, name in enumerate(NAMES)})
    whole = shard.read_bytes()
    shard.write_bytes(whole[:5000])  # ends within the second member: each takes 4096 bytes
    (downloads / "copies/xares/b.zip").write_bytes(b"no zip")
    assert there(run(downloads, downloads / "copies")) == [1, 0]
    lines = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert len(lines) == 2 and all("cannot be read to its end" in line and "\n" not in line for line in lines)
    shard.write_bytes(whole)
    assert there(run(downloads, downloads / "copies")) == [4, 3]


def test_whole_videos_and_ambiguous_ids_are_not_used(downloads: Path) -> None:
    (downloads / "m/w.tsv").write_text(f"filename\tevent_labels\nY{IDS[0]}_90.000_100.000.wav\tDog\n")
    shard = {
        f"{IDS[0]}.wav": sound(0),
        f"{IDS[1]}.wav": sound(1, seconds=13.0),
        f"Y{IDS[2]}.wav": sound(2, seconds=9.0),
    }
    tar(downloads / "copies/x/a.tar", shard)
    assert there(run(downloads, downloads / "copies")) == [1, 0]
    why = {row["key"]: row["why"] for row in rows(downloads / "unknown_keys.tsv")}
    assert "at 30 s or" in why[IDS[0]] or "at 90 s or" in why[IDS[0]]
    assert why[IDS[1]] == "longer than 12 s: the whole video"


def test_members_that_are_empty_or_unreadable_are_listed_with_the_reason(downloads: Path) -> None:
    """Once, an unreadable one was called the whole video, and an empty one filled its place."""
    tar(downloads / "copies/x/a.tar", {NAMES[0]: b"", f"{IDS[1]}.wav": b"no audio", NAMES[2]: sound(2)})
    assert there(run(downloads, downloads / "copies")) == [1, 0]
    assert [path.name for path in (downloads / "audio/v").iterdir()] == [NAMES[2]]
    why = {row["key"]: row["why"] for row in rows(downloads / "unknown_keys.tsv")}
    assert why[Path(NAMES[0]).stem] == "empty"
    assert why[IDS[1]].startswith("not audio")


def test_copies_that_cannot_be_converted_are_counted_by_reason(
    downloads: Path, monkeypatch: pytest.MonkeyPatch, log_lines: list[str]
) -> None:
    monkeypatch.setenv("PATH", str(downloads))
    folder = tar(downloads.parent / "copy/a.tar", {f"{one}_30_40.m4a": sound(0) for one in IDS[:2]}).parent
    (folder / f"{IDS[2]}_30_40.m4a").write_bytes(sound(2))
    run(downloads, folder)
    assert log_lines[-1] == f"3 copies left out: ffmpeg is needed to read it, the first {folder}/{IDS[2]}_30_40.m4a"


def test_m4a_is_converted_to_wav_if_ffmpeg_is_installed(downloads: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = downloads.parent / "copy"
    folder.mkdir()
    (folder / f"{IDS[0]}_30_40.m4a").write_bytes(sound(0))
    tar(folder / "a.tar", {f"{IDS[1]}_30_40.m4a": sound(1)})
    monkeypatch.setenv("PATH", str(downloads / "bin"))
    assert there(run(downloads, folder)) == [0, 0]
    program = downloads / "bin" / "ffmpeg"
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\nwhile [ "$1" != -i ]; do shift; done\nin=${2#file:}\nfor out; do :; done\n'
        '/bin/cat "$in" > "${out#file:}"\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    assert there(run(downloads, folder)) == [2, 0]
    assert soundfile.info(downloads / "audio/v" / NAMES[1]).format == "WAV"


def test_shards_in_linked_folders_are_read_and_links_that_lead_nowhere_named(
    downloads: Path, log_lines: list[str]
) -> None:
    tar(downloads.parent / "elsewhere/a.tar", {NAMES[0]: sound(0)})
    copies = downloads.parent / "copies"
    copies.mkdir()
    (copies / "linked").symlink_to(downloads.parent / "elsewhere")
    (copies / "gone.tar").symlink_to(downloads.parent / "nowhere.tar")
    assert there(run(downloads, copies)) == [1, 0]
    assert f"{copies / 'gone.tar'}: left out: not a regular file, or a link that leads nowhere" in log_lines


def test_broken_links_are_made_again(downloads: Path) -> None:
    folder = downloads.parent / "copy"
    folder.mkdir()
    (folder / NAMES[0]).write_bytes(sound(0))
    place = downloads / "audio/v" / NAMES[0]
    place.parent.mkdir(parents=True)
    place.symlink_to(downloads / "moved.wav")
    assert there(run(downloads, folder)) == [1, 0]
    assert place.resolve() == folder / NAMES[0]


@pytest.mark.thorough
def test_a_run_killed_at_any_call_and_repeated_gives_the_same_files(downloads: Path) -> None:
    import shutil

    tar(downloads / "copies/xares/a.tar", {"7.wav": b"x", **{name: sound(n) for n, name in enumerate(NAMES[:4])}})
    tar(downloads / "copies/xares/b.tar", {NAMES[0]: sound(8), NAMES[5]: sound(5)})
    tables = ("origins.tsv", "unknown_keys.tsv", "differing_copies.tsv")

    def work() -> int:
        run(downloads, downloads / "copies")
        return 0

    def clear() -> None:
        shutil.rmtree(downloads / "audio", ignore_errors=True)
        for path in downloads.iterdir():
            if path.name in tables or path.name.startswith("."):
                path.unlink() if path.is_file() else shutil.rmtree(path)

    def state() -> dict[str, bytes]:
        files = [*(downloads / "audio").rglob("*"), *(downloads / name for name in tables)]
        return {str(path): path.read_bytes() for path in files if path.is_file()}

    clear()
    work()
    expected = state()
    assert len(expected) == 6 + 3

    def check(_n: int) -> None:
        assert state() == expected

    # killed at a sample of 12 of its calls; more than 5 of them were reached
    assert kill_at_every_call(work, clear, check, downloads, most=12) > 5


@pytest.mark.slow
@pytest.mark.skipif(not (KIT / "desed_metadata").is_dir(), reason="no kit with the real metadata")
def test_all_of_the_real_metadata_is_found_in_four_spellings(tmp_path: Path) -> None:
    """Every clip of DESED's own TSVs, those of audioset_strong.tsv made up, in tars, zips and parquet tables."""
    downloads, chance = tmp_path / "downloads", random.Random(0)
    (downloads / "metadata/train").mkdir(parents=True)
    (downloads / "metadata/validation").mkdir()
    names: list[str] = []
    for source, to in (("weak", "train"), ("unlabel_in_domain", "train"), ("validation", "validation")):
        text = (KIT / "desed_metadata" / f"{source}.tsv").read_text()
        (downloads / "metadata" / to / f"{source}.tsv").write_text(text)
        names += dict.fromkeys(line.split("\t")[0] for line in text.splitlines()[1:])
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    strong = [f"Y{''.join(chance.choices(letters, k=11))}_{s}.000_{s + 10}.000.wav" for s in range(0, 34_700, 10)]
    lines = [f"{name}\t0.5\t2.0\tCat\n" for name in strong]
    (downloads / "metadata/train/audioset_strong.tsv").write_text(
        "filename\tonset\toffset\tevent_label\n" + "".join(lines)
    )
    spellings: list[Callable[[str, float], str]] = [
        lambda video, start: f"Y{video}_{start:.3f}_{start + 10:.3f}",
        lambda video, start: f"{video}_{start:.0f}_{start + 10:.0f}" if start == int(start) else f"{video}_{start:.3f}",
        lambda video, start: f"{video}_{1000 * start:.0f}_{1000 * (start + 10):.0f}",
        lambda video, _start: video,
    ]
    names = list(dict.fromkeys([*names, *strong]))
    videos = [audioset.named(name).video for name in names]
    flac = sound(0, seconds=0.01, suffix="flac")
    keys = []
    for number, name in enumerate(names):
        key = audioset.named(name)
        spelling = spellings[number % (4 if videos.count(key.video) == 1 else 3)]
        keys.append(spelling(key.video, key.start / 1000))
    odd = [f"odd-{n}" for n in range(17)]
    third = len(keys) // 3
    tar(tmp_path / "copies/1.tar", {f"{key}.flac": flac for key in keys[:third] + odd})
    (tmp_path / "copies/2.zip").write_bytes(zipped({f"{key}.flac": flac for key in keys[third : 2 * third]}))
    rest = {"segment_id": keys[2 * third :], "audio": [flac] * (len(keys) - 2 * third)}
    pyarrow.parquet.write_table(pyarrow.table(rest), tmp_path / "copies/3.parquet", row_group_size=1000)
    sets = read_sets(ROOT / "local" / "desed_recordings.tsv", downloads)
    collection = Collection(sets, downloads)
    folders = [tmp_path / "copies"]
    collection.close(collection.read_shards(find_shards(folders)))
    found = {one.folder.name: len(one.names) - len(one.missing) for one in sets}
    assert found == {"weak": 1578, "unlabel_in_domain": 14412, "strong_label_real": 3470, "validation": 1168}
    assert [row["key"] for row in rows(downloads / "unknown_keys.tsv")] == odd
