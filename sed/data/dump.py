"""Computation of one shard of features: audio is read and resampled, log-mel computed in batches, clips stored."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sed.data.audio import read_audio
from sed.data.directory import read_scp
from sed.data.store import FeatureWriter, shard_fault
from sed.errors import UserError
from sed.files import write_text
from sed.progress import Progress

if TYPE_CHECKING:
    from sed.features.logmel import FrontEnd

log = logging.getLogger("sed.dump")
BATCH = 16
"""clips per batch of the front end. A resumed shard starts at a multiple of it: its batches are then those of an
uninterrupted dump, and so is the rounding of the features, which depends on the batch."""


def scp_of(shard: str | Path) -> Path:
    """Return the path of a shard's list of clips, which is written after the shard: `feats.3.h5` -> `feats.3.scp`."""
    return Path(shard).with_suffix(".scp")


def dump_shard(scp: str | Path, shard: str | Path, front_end: FrontEnd) -> bool:
    """Write the features of clips to a shard, then the shard's list of clips (`scp_of`).

    Memory does not grow with the number of clips. A killed dump is continued. A shard that exists but is damaged, or
    has other clips or another front end, is computed again.

    Args:
        scp: list of the clips' audio files (wav.scp).
        shard: the HDF5 file to write, `*.h5`.
        front_end: front end that computes the features.

    Returns:
        Whether anything was written: False if both files exist and the shard is intact.

    Raises:
        UserError: audio that cannot be read or is shorter than a frame, the shard's list would replace `scp`, or the
            shard's name does not end in .h5.
    """
    wavs, shard = read_scp(scp), Path(shard)
    if shard.suffix != ".h5":  # the list of x.scp would replace it, and feats.1 and feats.2 would have one list
        raise UserError(f"{shard}: a shard's name ends in .h5 (its list of clips has .scp instead)")
    clips, done = list(wavs), scp_of(shard)
    if done.resolve() == Path(scp).resolve():
        raise UserError(f"{shard}: its list of clips, {done}, would replace the list that is read (rename it)")
    if done.exists() or shard.exists():
        fault = shard_fault(shard, clips=clips, front_end=front_end.params())
        if fault is None and done.exists():
            return False
        if fault is not None:
            log.info("%s: %s: computed again", shard, fault)
            done.unlink(missing_ok=True)
            shard.unlink(missing_ok=True)
    if not shard.exists():
        _write(clips, wavs, shard, front_end)
    write_text(done, "".join(f"{clip} {shard.name}:{row}\n" for row, clip in enumerate(clips)))
    return True


def _write(clips: Sequence[str], wavs: dict[str, str], shard: Path, front_end: FrontEnd) -> None:
    """Write a shard, or the rest of one; `wavs` is {clip: its audio file}."""
    cut = read = 0  # numbers of clips that this call has cut, and read
    with (
        FeatureWriter(
            shard, clips=clips, frames=front_end.clip_frames, bins=front_end.mel_bins, front_end=front_end.params()
        ) as writer,
        Progress(len(clips), "clip", done=writer.done, logger=log) as progress,
    ):
        if writer.done:
            log.info("%s: continued after %d of %d clips", shard, writer.done, len(clips))
        for start in range(writer.done - writer.done % BATCH, len(clips), BATCH):
            batch = clips[start : start + BATCH]
            waveforms = [read_audio(wavs[clip], front_end.sample_rate) for clip in batch]
            read += len(batch)
            for clip, waveform in zip(batch, waveforms, strict=True):
                cut += len(waveform) > front_end.clip_samples
                if len(waveform) < front_end.min_samples:
                    raise UserError(
                        f"{wavs[clip]}: {len(waveform)} samples are too few for a frame (leave the clip out)"
                    )
            for row, features in enumerate(_features(waveforms, front_end), start):
                if row == writer.done:  # the first rows of a resumed batch are on disk already
                    writer.write(features)
            progress.advance(writer.done - progress.done)
    log.info("%s: %d clips, %.0f per second", shard, len(clips), progress.moved / progress.seconds)
    if cut:
        log.info("%s: %d of %d clips were longer than %g s and were cut", shard, cut, read, front_end.clip_seconds)


def _features(waveforms: Sequence[np.ndarray], front_end: FrontEnd) -> Iterator[np.ndarray]:
    """Yield the features (frames, bins) float16 of each waveform, of which at most a clip's length is used.

    Only consecutive waveforms of equal length share a batch, so that none is padded.
    """
    import torch

    for _, group in groupby((waveform[: front_end.clip_samples] for waveform in waveforms), key=len):
        with torch.inference_mode():
            yield from front_end(torch.from_numpy(np.stack(list(group)))).half().numpy()
