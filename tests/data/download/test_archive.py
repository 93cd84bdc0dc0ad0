"""Archives: good ones are unpacked completely, malicious ones leave no file anywhere."""

import contextlib
import gzip
import io
import os
import random
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from faulty_server import tarred, zipped

from sed.data.download import archive
from sed.data.download.archive import Limits, damaged_members, directory_range, merge, root_of, unpack
from sed.errors import UserError

FILES = {
    "c/audio/1.wav": random.Random(0).randbytes(5000),
    "c/audio/deep/2.wav": b"",
    "c/metadata/a.tsv": b"x\ty\n" * 100,
}


BODY = random.Random(1).randbytes(10_000)


@pytest.fixture
def make(tmp_path):
    """A function that writes an archive of this name and content, and returns its path."""

    def write(name: str, content: bytes):
        path = tmp_path / "in" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return path

    return write


def tree(folder) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize(("name", "pack"), [("a.zip", zipped), ("a.tar.gz", tarred), ("a.tgz", tarred)])
def test_good_archives_are_unpacked_completely(make, tmp_path, name, pack):
    assert unpack(make(name, pack(FILES)), tmp_path / "out") == 3
    assert tree(tmp_path / "out") == FILES


def test_files_of_a_killed_unpacking_are_removed(make, tmp_path):
    (tmp_path / "out" / "old").mkdir(parents=True)
    (tmp_path / "out" / "old" / "half.wav").write_bytes(b"half")
    unpack(make("a.zip", zipped(FILES)), tmp_path / "out")
    assert tree(tmp_path / "out") == FILES


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as container:
        for info, content in members:
            info.size = len(content)
            container.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def zip_link(name: str, target: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as container:
        info = zipfile.ZipInfo(name)
        info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        container.writestr(info, target)
        container.writestr(f"{name}/evil", b"evil")
    return buffer.getvalue()


def zip_device() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as container:
        info = zipfile.ZipInfo("null")
        info.create_system, info.external_attr = 3, (stat.S_IFCHR | 0o666) << 16
        container.writestr(info, b"")
    return buffer.getvalue()


def sparse_tar() -> bytes:
    """A GNU sparse file of 8 GB in a few bytes."""
    info = member("big", tarfile.GNUTYPE_SPARSE)
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[156:157] = b"S"
    block[386:410] = b"%011o\0%011o\0" % (0, 0)  # offset and length of the only section that is stored
    block[483:495] = b"%011o\0" % 0o77777777777  # size of the file, 8 GB
    block[148:156] = b" " * 8  # the header's checksum counts its own field as blanks
    block[148:156] = b"%06o\0 " % sum(block)
    return gzip.compress(bytes(block) + bytes(1024))


def overlapping_zip() -> bytes:
    """One compressed member that the directory lists under 200 names."""
    data = bytearray(zipped({"000": bytes(1 << 20)}))
    start = data.index(b"PK\x01\x02")
    end = data.index(b"PK\x05\x06")
    entry, tail = bytes(data[start:end]), bytearray(data[end:])
    entries = b"".join(entry.replace(b"000", b"%03d" % n) for n in range(200))
    tail[8:12] = struct.pack("<HH", 200, 200)
    tail[12:16] = struct.pack("<I", len(entries))
    return bytes(data[:start]) + entries + bytes(tail)


def header_bomb() -> bytes:
    """Return a tar of an extended header that claims 8 GB."""
    return gzip.compress(member("x", tarfile.XHDTYPE).tobuf(tarfile.PAX_FORMAT)[:124] + b"77777777777")


EVIL: dict[str, Callable[[], bytes]] = {  # made when they are tested: some pack 70 MB
    "absolute.tar.gz": lambda: tar_of((member("/tmp/ast-sed-evil"), b"evil")),
    "parent.tar.gz": lambda: tar_of((member("a/../../evil"), b"evil")),
    "symlink.tar.gz": lambda: tar_of((member("l", tarfile.SYMTYPE, "../.."), b""), (member("l/evil"), b"evil")),
    "absolute_link.tar.gz": lambda: tar_of((member("l", tarfile.SYMTYPE, "/etc/passwd"), b"")),
    "hardlink.tar.gz": lambda: tar_of((member("l", tarfile.LNKTYPE, "../evil"), b"")),
    # Each target is inside when read as text; through the first link, the second leads out.
    "chain.tar.gz": lambda: tar_of(
        (member("a", tarfile.SYMTYPE, "."), b""),
        (member("b", tarfile.SYMTYPE, "a/.."), b""),
        (member("b/evil"), b"evil"),
    ),
    "device.tar.gz": lambda: tar_of((member("null", tarfile.CHRTYPE), b"")),
    "pipe.tar.gz": lambda: tar_of((member("pipe", tarfile.FIFOTYPE), b"")),
    "sparse.tar.gz": sparse_tar,
    "bomb.tar.gz": lambda: tar_of((member("zeros"), bytes(70 << 20))),
    "header_bomb.tar.gz": header_bomb,
    "twice.tar.gz": lambda: tar_of((member("a"), b"1"), (member("a"), b"2")),
    "file_and_folder.tar.gz": lambda: tar_of((member("a"), b"1"), (member("a/b"), b"2")),
    "newline.tar.gz": lambda: tar_of((member("a\nb"), b"1")),
    "not_utf8.tar.gz": lambda: tar_of((member("a\udcff"), b"1")),
    "parent.zip": lambda: zipped({"../evil": b"evil"}),
    "deep_parent.zip": lambda: zipped({"a/b/../../../evil": b"evil"}),
    "absolute.zip": lambda: zipped({"/tmp/ast-sed-evil": b"evil"}),
    "drive.zip": lambda: zipped({"C:/evil": b"evil"}),
    "backslash.zip": lambda: zipped({"..\\evil": b"evil"}),
    "symlink.zip": lambda: zip_link("l", "../.."),
    "device.zip": zip_device,
    "bomb.zip": lambda: zipped({"zeros": bytes(70 << 20)}),
    "many_bombs.zip": lambda: zipped({f"{i}": bytes(7 << 20) for i in range(10)}),
    "overlap.zip": overlapping_zip,
}


@pytest.mark.thorough
@pytest.mark.parametrize("name", EVIL)
def test_malicious_archives_leave_nothing_anywhere(make, tmp_path, name):
    path = make(name, EVIL[name]())
    (tmp_path / "place").mkdir()
    with pytest.raises(UserError) as error:
        unpack(path, tmp_path / "place" / "out")
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    if name != "header_bomb.tar.gz":  # which ends early, and counts as damaged
        assert "refused" in str(error.value)
    assert sorted(p.name for p in tmp_path.rglob("*")) == sorted(["in", name, "place"])
    assert not os.path.lexists("/tmp/ast-sed-evil")


def test_too_many_entries_are_refused(make, tmp_path):
    path = make("a.zip", zipped({str(i): b"" for i in range(20)}))
    with pytest.raises(UserError, match="more than 19 entries"):
        unpack(path, tmp_path / "out", limits=Limits(entries=19))
    assert not (tmp_path / "out").exists()
    assert unpack(path, tmp_path / "out", limits=Limits(entries=20)) == 20


def test_a_small_archive_may_unpack_to_the_floor_and_a_large_one_to_the_ratio(make, tmp_path):
    zeros, noise = (make(f"{name}.zip", zipped({"a": body})) for name, body in (("zeros", bytes(10_000)), ("x", BODY)))
    for path, limits, is_unpacked in (
        (zeros, Limits(ratio=1, floor=10_000), True),
        (zeros, Limits(ratio=1, floor=9_999), False),
        (noise, Limits(ratio=1, floor=0), True),
        (noise, Limits(ratio=0.9, floor=0), False),
    ):
        if is_unpacked:
            assert unpack(path, tmp_path / "out", limits=limits) == 1
        else:
            with pytest.raises(UserError, match="it unpacks to more than"):
                unpack(path, tmp_path / "out", limits=limits)


def test_a_name_has_a_largest_length(make, tmp_path):
    path = make("a.zip", zipped({"x/" + "y" * 30: b""}))
    assert unpack(path, tmp_path / "out", limits=Limits(name=32)) == 1
    with pytest.raises(UserError, match="a name that is not a plain path"):
        unpack(path, tmp_path / "out", limits=Limits(name=31))


def test_an_archive_of_the_current_folder_is_unpacked(make, tmp_path):
    """`tar c .` puts the folder itself first."""
    content = tar_of((member(".", tarfile.DIRTYPE), b""), (member("./a"), b"1"), (member("./b/c"), b"2"))
    assert unpack(make("a.tar.gz", content), tmp_path / "out") == 2
    assert tree(tmp_path / "out") == {"a": b"1", "b/c": b"2"}


def test_an_extended_header_cannot_fill_the_memory(make, tmp_path):
    info = member("x", tarfile.XHDTYPE)
    info.size = 50 << 20
    path = make("a.tar.gz", gzip.compress(info.tobuf(tarfile.PAX_FORMAT) + bytes(50 << 20), 1))
    with pytest.raises(UserError, match="far more than its own size"):
        unpack(path, tmp_path / "out", limits=Limits(floor=1 << 20, ratio=1))


@pytest.mark.parametrize(("name", "pack"), [("a.zip", zipped), ("a.tar.gz", tarred)])
@pytest.mark.parametrize("cut", [0.1, 0.5, 0.9, 0.999])
def test_truncated_archives_are_refused(make, tmp_path, name, pack, cut):
    content = pack(FILES)
    path = make(name, content[: int(cut * len(content))])
    with pytest.raises(UserError, match="damaged archive"):
        unpack(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("name", "pack"), [("a.zip", zipped), ("a.tar.gz", tarred), ("a.tar", tarred)])
def test_a_damaged_archive_is_an_error_or_unpacks_correctly(make, tmp_path, name, pack):
    whole = pack(FILES) if name != "a.tar" else gzip.decompress(pack(FILES))
    noise = random.Random(name)
    for _ in range(40):
        content = bytearray(whole)
        for _ in range(noise.choice((1, 1, 4, 30))):
            content[noise.randrange(len(content))] = noise.randrange(256)
        with contextlib.suppress(UserError):
            unpack(make(name, bytes(content)), tmp_path / "place" / "out")
            if name != "a.tar":  # which has no checksums of contents
                assert tree(tmp_path / "place" / "out") == FILES, content
        assert sorted(p.name for p in tmp_path.iterdir()) in (["in"], ["in", "place"])
        assert [p.name for p in (tmp_path / "in").iterdir()] == [name]
    assert not os.path.lexists("/tmp/ast-sed-evil")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damage_of_a_zip_in_another_method_is_called_so(make, tmp_path, method):
    """Once, it was a traceback, or a failure of the system without a file's name."""
    content = bytearray(zipped({"a": BODY}, method))
    content[5000] ^= 1
    with pytest.raises(UserError, match=r"a\.zip: damaged archive"):
        unpack(make("a.zip", bytes(content)), tmp_path / "out")


@pytest.mark.thorough
def test_a_wrong_byte_of_a_zip_is_found_in_its_directory_or_its_member(make):
    noise = random.Random(6)
    whole = zipped({f"{n}.wav": noise.randbytes(3000) for n in range(5)})
    with zipfile.ZipFile(io.BytesIO(whole)) as container:
        members = [info.header_offset for info in container.infolist()] + [container.start_dir]
    unseen = {start + n for start in members[:-1] for n in (4, 5)}  # the version that unpacks it: writers differ in it
    places = {members[m] + n for m in (0, 2) for n in range(100)}
    for place in sorted((places | {*range(members[-1], len(whole))}) - unseen):
        content = bytearray(whole)
        content[place] ^= 0x55
        path = make("a.zip", bytes(content))
        start, end = directory_range(path)
        # up to 1 kB before it, since its first entry may be damaged
        assert members[-1] - 1024 <= start <= members[-1] and end == len(whole)
        content[start:end] = whole[start:end]
        damaged = damaged_members(make("a.zip", bytes(content)))
        at = sum(place >= start for start in members) - 1
        assert damaged == ([] if place >= start else [tuple(members[at : at + 2])]), place


class Pipe(io.RawIOBase):
    """A file that cannot be sought: a zip file written to it has sizes and checksums behind its members."""

    def __init__(self) -> None:
        self.content = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, block) -> int:
        self.content += block
        return len(block)


@pytest.mark.parametrize("large", [False, True])
def test_a_whole_zip_has_no_damaged_members_however_it_was_written(make, large):
    for file in (pipe := Pipe(), seekable := io.BytesIO()):
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as container:
            for name, content in FILES.items():
                with container.open(name, "w", force_zip64=large) as member:
                    member.write(content)
    for content in (bytes(pipe.content), seekable.getvalue()):
        assert damaged_members(make("a.zip", content)) == []
        start = content.index(b"c/metadata/a.tsv") - 30  # of the member's header, in which the name begins at byte 30
        wrong = bytearray(content)
        wrong[start + 11] ^= 1  # the time of modification
        assert [begin for begin, _ in damaged_members(make("a.zip", bytes(wrong)))] == [start]


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\3\4" + b"x" * 100, tarred(FILES)])
def test_a_file_that_is_not_a_zip_has_no_directory(make, content):
    assert directory_range(make("a.zip", content)) is None


def test_links_inside_an_archive_become_hard_links(make, tmp_path):
    content = tar_of(
        (member("d/a"), b"1"),
        (member("d/hard", tarfile.LNKTYPE, "d/a"), b""),
        (member("e/soft", tarfile.SYMTYPE, "../d/a"), b""),
    )
    assert unpack(make("a.tar.gz", content), tmp_path / "out") == 3
    assert tree(tmp_path / "out") == {"d/a": b"1", "d/hard": b"1", "e/soft": b"1"}
    assert not any(p.is_symlink() for p in (tmp_path / "out").rglob("*"))
    assert (tmp_path / "out/d/a").stat().st_nlink == 3


def test_links_of_a_zip_become_hard_links_and_may_lead_to_a_link(make, tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as container:
        container.writestr("d/a", b"1")
        for name, target in (("e/soft", "../d/a"), ("soft", "e/soft")):
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
            container.writestr(info, target)
    assert unpack(make("a.zip", buffer.getvalue()), tmp_path / "out") == 3
    assert tree(tmp_path / "out") == {"d/a": b"1", "e/soft": b"1", "soft": b"1"}
    assert (tmp_path / "out/d/a").stat().st_nlink == 3


@pytest.mark.parametrize("searched", [500, 1 << 20], ids=["its end alone", "all of it"])
def test_the_directory_of_a_zip_is_found_whether_its_end_or_all_of_it_is_searched(make, monkeypatch, searched):
    monkeypatch.setattr(archive, "_DIRECTORY", searched)
    whole = zipped({f"{n}.wav": random.Random(n).randbytes(3000) for n in range(5)})
    with zipfile.ZipFile(io.BytesIO(whole)) as container:
        begin = container.start_dir
    assert directory_range(make("a.zip", whole)) == (begin - 1024, len(whole))


def test_members_that_are_in_another_order_than_the_directory_are_checked(make):
    """Such as those of a zip that a tool has changed."""
    whole = zipped({"b.wav": BODY[:3000], "a.wav": BODY[3000:6000]})
    first, end = whole.index(b"PK\1\2"), whole.index(b"PK\5\6")
    second = whole.index(b"PK\1\2", first + 1)
    swapped = bytearray(whole[:first] + whole[second:end] + whole[first:second] + whole[end:])
    assert damaged_members(make("a.zip", bytes(swapped))) == []
    swapped[100] ^= 1
    assert damaged_members(make("a.zip", bytes(swapped))) == [(0, whole.index(b"PK\3\4", 1))]


def test_the_wrapping_folder_is_found(tmp_path):
    (tmp_path / "x" / "dataset" / "audio").mkdir(parents=True)
    assert root_of(tmp_path, ["audio", "metadata"]) == tmp_path / "x" / "dataset"
    with pytest.raises(UserError, match="no folder with metadata"):
        root_of(tmp_path, ["metadata"])
    (tmp_path / "x" / "other" / "metadata").mkdir(parents=True)
    with pytest.raises(UserError, match=r"x/dataset and \S+x/other: two folders with audio or metadata"):
        root_of(tmp_path, ["audio", "metadata"])


def test_a_file_does_not_replace_a_folder_and_replaces_a_link_to_one(tmp_path):
    for name in ("new", "old/a"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "new" / "a").write_text("new")
    with pytest.raises(UserError, match=r"old/a: is a folder, and a file of the archive"):
        list(merge(tmp_path / "new", tmp_path / "old"))
    (tmp_path / "old" / "a").rename(tmp_path / "elsewhere")
    (tmp_path / "old" / "a").symlink_to(tmp_path / "elsewhere")
    assert list(merge(tmp_path / "new", tmp_path / "old")) == [tmp_path / "old" / "a"]
    assert (tmp_path / "old" / "a").read_text() == "new" and not list((tmp_path / "elsewhere").iterdir())


def test_merging_twice_gives_the_same_result_as_once(tmp_path):
    for _ in range(2):
        for name in ("a/b/1", "a/2"):
            (tmp_path / "new" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "new" / name).write_text(name)
        (tmp_path / "old/a/b").mkdir(parents=True, exist_ok=True)
        (tmp_path / "old/a/b/kept").touch()
        placed = list(merge(tmp_path / "new", tmp_path / "old"))
        assert sorted(str(p.relative_to(tmp_path / "old")) for p in placed) == ["a/2", "a/b/1"]
    assert sorted(tree(tmp_path / "old")) == ["a/2", "a/b/1", "a/b/kept"]


def test_merging_lists_only_its_own_files_while_other_threads_write(tmp_path, monkeypatch):
    source, place = tmp_path / "source", tmp_path / "place"
    for name in ("train", "eval"):
        (source / name).mkdir(parents=True)
        (source / name / "mine.tsv").write_text("mine")
    replace = Path.replace

    def meddled(self, target):
        if self.name == "eval":  # another part makes the folder between the look and the move
            (place / "eval").mkdir(parents=True)
            (place / "eval" / ".theirs.tsv.part").write_text("")
        result = replace(self, target)
        if self.name == "train":  # and writes into it just after
            (place / "train" / ".theirs.tsv.part").write_text("")
        return result

    monkeypatch.setattr(Path, "replace", meddled)
    assert list(merge(source, place)) == [place / "eval" / "mine.tsv", place / "train" / "mine.tsv"]
    assert (place / "eval" / "mine.tsv").read_text() == "mine"


def test_a_folder_that_another_thread_makes_in_the_meantime_is_merged(tmp_path, monkeypatch):
    source, place = tmp_path / "new", tmp_path / "old"
    for path in (source / "metadata" / "mine.tsv", place / "metadata" / "theirs.tsv"):
        path.parent.mkdir(parents=True)
        path.write_text("x")
    asked, is_dir = [], Path.is_dir

    def late(path):
        """Return False at the first call, as if the folder did not exist yet."""
        if path == place / "metadata":
            asked.append(path)
            return len(asked) > 1 and is_dir(path)
        return is_dir(path)

    monkeypatch.setattr(Path, "is_dir", late)
    assert list(merge(source, place)) == [place / "metadata" / "mine.tsv"]
    assert sorted(path.name for path in (place / "metadata").iterdir()) == ["mine.tsv", "theirs.tsv"]


def test_folders_on_another_disk_are_filled(tmp_path, other_disk):
    """A user may have linked the folder of the recordings to a larger disk."""
    other_disk(tmp_path / "new")
    for name in ("a/b/1", "a/2", "3"):
        (tmp_path / "new" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "new" / name).write_text(name)
    (tmp_path / "old").mkdir()
    (tmp_path / "old/3").write_text("earlier")
    placed = list(merge(tmp_path / "new", tmp_path / "old"))
    assert sorted(str(p.relative_to(tmp_path / "old")) for p in placed) == ["3", "a/2", "a/b/1"]
    assert tree(tmp_path / "old") == {name: name.encode() for name in ("3", "a/2", "a/b/1")}
