"""Features on disk: HDF5 shards that survive a kill at any instant, and random reads over all shards of a set.

A shard holds `logmel` (clips, frames, bins) float16 in chunks of one clip without compression, `frames` (clips,) uint32
(the clip's valid frames: those that are not padding), `crc32` (clips,) uint32 (CRC-32 of the clip's chunk), `clip_id`
(clips,), and the front end's parameters as attributes. After HDF5's own content comes the seal (`sed.seal`), a line
with the CRC-32 of everything before it except the clips' chunks. The seal is compared when a shard is opened, a clip's
checksum when the clip is read.

All space is allocated at the start, so HDF5's own structures do not change afterwards. Clips are then written without
the HDF5 library at known positions, and a journal beside the file (`.NAME.journal`, 8 bytes per clip: checksum, valid
frames) records the complete ones. A writer that follows a killed one resumes at the first clip that the journal lacks
or whose checksum differs, and produces the same bytes as an uninterrupted one. The shard gets its name only when it is
complete; until then it is `.NAME.part`.
"""

from __future__ import annotations

import logging
import os
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np

from sed.data.directory import read_scp
from sed.data.hdf5 import created, plain, text_of
from sed.errors import UserError
from sed.features.params import difference
from sed.files import refuse_device, sync_folder
from sed.input_files import check_file, naming
from sed.seal import SEAL, SIZE, Damaged, crc_of, found_seal

log = logging.getLogger("sed")
_RECORD = struct.Struct("<II")
"""a clip in the journal: CRC-32 of its chunk, valid frames"""
Scalar = str | int | float | bool


class FeatureWriter:
    """Writer of one shard, clip after clip in the order of `clips`; `done` is the number of those written.

    It begins with the number that a killed writer of the same shard completed. `write` appends a clip, `close`
    completes the shard; after an error the written clips are kept for resuming.
    """

    def __init__(
        self, path: str | Path, *, clips: Sequence[str], frames: int, bins: int, front_end: Mapping[str, Scalar]
    ) -> None:
        """Create the unfinished shard, or open that of a killed writer.

        Args:
            path: the shard.
            clips: ids of its clips, in order.
            frames: frames of each clip, with padding.
            bins: mel bins.
            front_end: parameters of the front end that computes the features.
        """
        self.path = Path(path)
        refuse_device(self.path)
        self.clips = list(clips)
        self.shape = (frames, bins)
        self._part = self.path.with_name(f".{self.path.name}.part")
        self._journal_path = self.path.with_name(f".{self.path.name}.journal")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.done = self._resumable(front_end)
        if not self.done:
            self._begin(front_end)
        with h5py.File(self._part, "r") as file:
            self._places = _places(file)
            # positions in the file, in bytes
            self._frames_at, self._crc_at = (file[name].id.get_offset() for name in ("frames", "crc32"))
        self._file = os.open(self._part, os.O_RDWR)
        self._end = _stated_end(self._part)
        os.ftruncate(self._file, self._end)  # drops the seal, or a part of it, of a writer that ended just there
        self._journal = os.open(self._journal_path, os.O_RDWR | os.O_CREAT, 0o666)
        os.ftruncate(self._journal, self.done * _RECORD.size)
        os.lseek(self._journal, 0, os.SEEK_END)

    def write(self, features: np.ndarray) -> None:
        """Append the next clip's features (valid frames, bins); zeros fill the clip's other frames.

        Raises UserError for features that are not finite in float16.
        """
        valid = len(features)
        if valid > self.shape[0] or features.shape[1] != self.shape[1]:
            raise ValueError(f"features {features.shape} do not fit a shard of {self.shape}")
        chunk = np.zeros(self.shape, np.float16)
        with np.errstate(over="ignore"):  # values beyond float16 become infinite, and are refused below
            chunk[:valid] = features
        if not np.isfinite(chunk[:valid]).all():
            raise UserError(f"{self.path}: clip {self.clips[self.done]}: not finite (replace the recording)")
        data = chunk.tobytes()
        try:
            _write_at(self._file, data, self._places[self.done])
            os.write(self._journal, _RECORD.pack(zlib.crc32(data), valid))
        except OSError as error:
            error.filename = str(self.path)  # a descriptor has no name
            raise
        self.done += 1

    def close(self) -> None:
        """Complete the shard: valid frames and checksums, sync, rename, drop the journal."""
        if self.done != len(self.clips):
            raise ValueError(f"{self.path}: {self.done} of {len(self.clips)} clips written")
        records = np.frombuffer(os.pread(self._journal, self.done * _RECORD.size, 0), "<u4").reshape(-1, 2)
        _write_at(self._file, records[:, 0].tobytes(), self._crc_at)
        _write_at(self._file, records[:, 1].tobytes(), self._frames_at)
        crc = _crc_without(self._part, self._places, 2 * self.shape[0] * self.shape[1], self._end)  # float16: 2 bytes
        _write_at(self._file, SEAL % crc, self._end)
        os.fsync(self._file)
        self._part.replace(self.path)
        sync_folder(self.path.parent)
        self._journal_path.unlink()

    def __enter__(self) -> FeatureWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.close()
        finally:
            os.close(self._file)
            os.close(self._journal)

    def _begin(self, front_end: Mapping[str, Scalar]) -> None:
        """Create the unfinished shard with all its space allocated, and drop what an earlier writer left."""
        self._journal_path.unlink(missing_ok=True)
        self._part.unlink(missing_ok=True)
        count, (frames, bins) = len(self.clips), self.shape
        contiguous = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        contiguous.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        contiguous.set_fill_time(h5py.h5d.FILL_TIME_NEVER)  # `write` and `close` write every byte
        contiguous.set_obj_track_times(False)  # the same clips must give the same bytes
        chunked = contiguous.copy()
        chunked.set_chunk((1, frames, bins))
        # v110: superblock version 3, in which `_stated_end` finds the end of the content
        with naming(self.path), created(self._part, libver="v110") as file:
            for name, kind, shape, plist in (
                ("logmel", h5py.h5t.IEEE_F16LE, (count, frames, bins), chunked),
                ("frames", h5py.h5t.STD_U32LE, (count,), contiguous),
                ("crc32", h5py.h5t.STD_U32LE, (count,), contiguous),
            ):
                h5py.h5d.create(file.id, name.encode(), kind, h5py.h5s.create_simple(shape), plist)
            ids = [clip.encode() for clip in self.clips]
            file["clip_id"] = np.array(ids, dtype=f"S{max(map(len, ids))}")
            for key, value in sorted(front_end.items()):
                file.attrs[key] = value

    def _resumable(self, front_end: Mapping[str, Scalar]) -> int:
        """Return the number of clips that an earlier, killed writer of the same shard completed; 0 if there was none.

        The same shard has the same clips, shape and front end.
        """
        try:
            records = self._journal_path.read_bytes()
            with h5py.File(self._part, "r") as file:
                if difference(_attributes(file), front_end) or _ids(file) != self.clips:
                    return 0
                if file["logmel"].shape[1:] != self.shape:
                    return 0
                places = _places(file)
        except (OSError, KeyError, ValueError, RuntimeError):
            return 0
        size = int(np.prod(self.shape)) * 2  # bytes of a clip's chunk, float16
        with self._part.open("rb") as part:
            for row in range(min(len(records) // _RECORD.size, len(self.clips))):
                part.seek(places[row])
                if zlib.crc32(part.read(size)) != _RECORD.unpack_from(records, row * _RECORD.size)[0]:
                    return row
        return min(len(records) // _RECORD.size, len(self.clips))


def shard_fault(path: str | Path, *, clips: Sequence[str], front_end: Mapping[str, Scalar]) -> str | None:
    """Check a finished shard completely, with the checksum of every clip.

    Args:
        path: the shard.
        clips: the clips that it must hold, in order.
        front_end: the front end's settings that it must have been made with.

    Returns:
        The fault (missing, damaged, other clips, another front end); None if the shard is intact.
    """
    check_file(path)
    try:
        with h5py.File(path, "r") as file:
            _check(Path(path), file)
            other = difference(_attributes(file), front_end)
            if other:
                return f"made by another front end: {other}"
            if _ids(file) != list(clips):
                return "holds other clips"
            logmel = file["logmel"]
            for row, crc in enumerate(file["crc32"][()]):
                if zlib.crc32(logmel.id.read_direct_chunk((row, 0, 0))[1]) != crc:
                    return f"damaged: clip {clips[row]} does not match its checksum"
    except FileNotFoundError:
        return "missing"
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        reason = str(error)
        # The HDF5 library gives its reason in parentheses; a ValueError is from the checks of `_check`.
        return f"damaged: {reason if isinstance(error, ValueError) else reason.split('(')[-1].rstrip(')')}"
    return None


def check_dump(dump: str | Path, wanted: Mapping[str, Scalar] | None = None) -> list[str]:
    """Check a finished dump directory; if it has faults, remove the damaged shards and feats.scp.

    Stage 2 then computes them again. Faults are damaged shards, and a feats.scp that does not list the clips of wav.scp
    or a shard's rows in order. A set with features of other sets, as `sed.evaluation.pseudo` writes it, is not checked.

    Args:
        dump: the directory, with its feats.scp and wav.scp.
        wanted: parameters of the front end that the shards must have been made with; None: any.

    Returns:
        The faults, a line for each; empty if the directory is intact.

    Raises:
        UserError: a shard was made with another front end than `wanted`; nothing is removed then.
    """
    dump = Path(dump)
    scp = dump / "feats.scp"
    table = read_scp(scp)
    shards: dict[str, list[str]] = {}
    rows: dict[str, list[str]] = {}
    for clip, place in table.items():
        name, _, row = place.rpartition(":")
        shards.setdefault(name, []).append(clip)
        rows.setdefault(name, []).append(row)
    if any("/" in name for name in shards):
        log.info("%s: not checked, its features are those of other sets (check these)", dump)
        return []
    faults = [] if list(table) == list(read_scp(dump / "wav.scp")) else [f"{scp}: does not cover wav.scp"]
    disordered = [name for name in shards if not name or rows[name] != [str(row) for row in range(len(rows[name]))]]
    for name in disordered:
        faults.append(f"{scp}: rows of '{name}' that are not file:0, file:1, ...")
        del shards[name]
    front_ends: dict[str, dict[str, Any]] = {name: {} for name in shards}
    for name in shards:
        try:
            with h5py.File(dump / name, "r") as file:
                front_ends[name] = _attributes(file)
        except (OSError, KeyError, ValueError, RuntimeError):
            continue  # shard_fault gives the reason
        other = difference(front_ends[name], wanted) if wanted is not None else None
        if other:
            raise UserError(
                f"{dump / name}: features of another front end than asked: {other} "
                "(--force true replaces them, another folder keeps both)"
            )
    for name in filter(None, disordered):
        (dump / name).with_suffix(".scp").unlink(missing_ok=True)  # stage 2 checks a shard without its list of clips
    for name, clips in shards.items():
        fault = shard_fault(dump / name, clips=clips, front_end=front_ends[name])
        if fault:
            faults.append(f"{dump / name}: {fault}")
            for path in (dump / name, (dump / name).with_suffix(".scp")):
                path.unlink(missing_ok=True)
    if faults:
        scp.unlink(missing_ok=True)  # it may be the list of a shard feats.h5, which is removed already
    return faults


class FeatureStore:
    """All features of a dump directory; row i is the clip on line i + 1 of its feats.scp.

    A store can be pickled and forked: each process opens the shards for itself on first use.
    """

    def __init__(self, dump_dir: str | Path) -> None:
        self.path = Path(dump_dir)
        scp = self.path / "feats.scp"
        table = read_scp(scp)
        self.clips: list[str] = list(table)
        """clip ids, by row"""
        names: dict[str, int] = {}  # file name of a shard -> its number
        # of each clip: number of its shard, row in the shard, checksum
        self._shard = np.empty(len(table), np.int32)
        self._row = np.empty(len(table), np.int64)
        self._crc = np.empty(len(table), np.uint32)
        for i, (clip, place) in enumerate(table.items()):
            name, _, row = place.rpartition(":")
            if not name or not row.isdecimal() or len(row) > 9:
                raise UserError(f"{scp}:{i + 1}: '{place}' of clip '{clip}' is not file:row (redo stage 2)")
            self._shard[i] = names.setdefault(name, len(names))
            self._row[i] = int(row)
        self._paths = [self.path / name for name in names]
        self._open: dict[int, h5py.Dataset] = {}
        self._pid = os.getpid()
        self._load_heads(scp)

    def _load_heads(self, scp: Path) -> None:
        """Read everything but the features from all shards, and check that they belong together."""
        self.valid = np.empty(len(self.clips), np.int64)
        """(clips,) valid frames of each clip; the others are zeros"""
        shape: tuple[int, int] | None = None
        self.front_end: dict[str, Any] = {}
        """parameters of the front end that computed the features"""
        for shard, path in enumerate(self._paths):
            check_file(path)
            try:
                with h5py.File(path, "r") as file:
                    sealed = _check(path, file)
                    front_end, ids = _attributes(file), _ids(file)
                    valid, crc = file["frames"][()], file["crc32"][()]
                    _, frames, bins = map(int, file["logmel"].shape)
                if not sealed and path == self._paths[0]:
                    log.info("%s: clip ids and lengths unchecked, it was written before shards had a checksum", path)
            except FileNotFoundError:
                raise UserError(f"{path}: no such shard, named by {scp} (redo stage 2)") from None
            except (OSError, KeyError, ValueError, RuntimeError) as error:
                raise UserError(f"{path}: damaged feature file: {error} (delete it and redo stage 2)") from None
            if shape is None:
                shape, self.front_end = (frames, bins), front_end
            other = difference(front_end, self.front_end)
            if other is None and (frames, bins) != shape:
                other = f"clips are {frames} x {bins}, not {shape[0]} x {shape[1]}"
            if other:
                raise UserError(
                    f"{path}: made by another front end than {self._paths[0]}: {other} (redo stage 2 with --force true)"
                )
            of_shard = np.flatnonzero(self._shard == shard)
            rows = self._row[of_shard]
            if rows.max() >= len(ids) or [ids[r] for r in rows] != [self.clips[i] for i in of_shard]:
                raise UserError(f"{path}: its clips are not those that {scp} names (redo stage 2)")
            self.valid[of_shard], self._crc[of_shard] = valid[rows], crc[rows]
        assert shape is not None  # read_scp refuses an empty file
        self.frames, self.bins = shape
        """frames of each clip, with padding; mel bins"""

    def read(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the stored log-mel of the clips at `rows`: (rows, frames, bins) float16, 0 beyond the valid frames."""
        if os.getpid() != self._pid:  # forked: an open HDF5 file must not be shared
            self._open, self._pid = {}, os.getpid()
        out = np.empty((len(rows), self.frames, self.bins), np.float16)
        for target, i in zip(out, rows, strict=True):
            shard = int(self._shard[i])
            dataset = self._open.get(shard)
            try:
                if dataset is None:
                    dataset = self._open[shard] = h5py.File(self._paths[shard], "r")["logmel"]
                dataset.id.read_direct_chunk((int(self._row[i]), 0, 0), out=target.reshape(-1).view(np.uint8))
                if zlib.crc32(target.data) != self._crc[i]:
                    raise Damaged("it does not match its checksum")
            except (OSError, KeyError, ValueError, RuntimeError) as error:
                where = f"{self._paths[shard]}: clip {self.clips[i]}"
                raise UserError(f"{where}: damaged feature file: {error} (delete it and redo stage 2)") from None
        return out

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": {}}


def _attributes(file: h5py.File) -> dict[str, Any]:
    return {key: value.item() if isinstance(value, np.generic) else value for key, value in file.attrs.items()}


def _check(path: Path, file: h5py.File) -> bool:
    """Raise ValueError if a file is not an intact shard; the clips' chunks are not compared with their checksums.

    Return whether it has a seal; shards of early versions have none.
    """
    logmel = plain(file, "logmel", "<f2", 3, by_row=True)
    clips, frames, bins = logmel.shape
    for name, dtype in (("frames", "<u4"), ("crc32", "<u4"), ("clip_id", "text")):
        if plain(file, name, dtype, 1).shape != (clips,):
            raise ValueError(f"{name} is not of its {clips} clips")
    if clips and file["frames"][()].max() > frames:
        raise ValueError(f"a clip of more than {frames} frames")
    places = _places(file)
    if len(places) != clips:
        raise ValueError("clips without values")
    stated = found_seal(path)
    end = path.stat().st_size - (SIZE if stated is not None else 0)
    if stated is None and end > _stated_end(path):  # bytes after HDF5's content that are no seal
        raise Damaged("its checksum is damaged")
    if stated is not None and _crc_without(path, places, 2 * frames * bins, end) != stated:
        raise Damaged("its checksum does not match")
    return stated is not None


def _stated_end(path: Path) -> int:
    """Return the position at which HDF5's content ends according to the file's superblock (version 2 or 3).

    For other versions, which `FeatureWriter` does not write, the size of the file.
    """
    with path.open("rb") as file:
        head = file.read(36)  # byte 8: version; bytes 28 to 35: address of the end of the file
    return int.from_bytes(head[28:36], "little") if head[8:9] in (b"\2", b"\3") else path.stat().st_size


def _crc_without(path: Path, places: Sequence[int], size: int, end: int) -> int:
    """Return the CRC-32 of the first `end` bytes of a file, leaving out `size` bytes from each of `places`."""
    crc, at = 0, 0
    with path.open("rb") as file:
        for place in [*sorted(places), end]:
            file.seek(at)
            crc = crc_of(file, max(0, place - at), crc)
            at = place + size
    return crc


def _places(file: h5py.File) -> list[int]:
    """Return the position of each clip's chunk in the file in bytes."""
    found: dict[int, int] = {}
    file["logmel"].id.chunk_iter(lambda chunk: found.__setitem__(chunk.chunk_offset[0], chunk.byte_offset))
    return [found[row] for row in range(len(found))]


def _ids(file: h5py.File) -> list[str]:
    return text_of(file["clip_id"])


def _write_at(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:  # pwrite may write less, when the disk fills up
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written
