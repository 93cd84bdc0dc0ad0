"""Atomic writing of audio files."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np

from sed.errors import UserError
from sed.input_files import naming


def write_sound(path: Path, samples: np.ndarray, rate: int) -> None:
    """Write 16-bit audio in the format of the path's suffix, atomically; a killed writer may leave `.NAME.part`.

    The file is encoded in memory and written by Python: libsndfile reports every disk error as "System error", and
    refuses file names that are not UTF-8. Unlike files of `sed.files.replacing`, it is not synced: corpora have
    thousands.

    Args:
        path: the file, `.wav` or `.flac`.
        samples: (samples,) or (samples, channels), floating point in [-1, 1].
        rate: sample rate in Hz.

    Raises:
        UserError: the format cannot hold that many channels, or that sample rate.
        OSError: it cannot be written; the error names `path`.
    """
    import soundfile

    encoded = BytesIO()
    form = path.suffix[1:].upper()
    try:
        soundfile.write(encoded, samples, rate, subtype="PCM_16", format=form)
    except soundfile.LibsndfileError:
        channels = 1 if samples.ndim == 1 else samples.shape[1]
        raise UserError(
            f"{path}: {form} cannot hold {channels} channels at {rate} Hz (convert the recording: fewer channels, or a "
            "lower rate)"
        ) from None
    part = path.with_name(f".{path.name}.part")
    try:
        with naming(path):
            part.write_bytes(encoded.getbuffer())
            part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        error.filename, error.filename2 = str(path), None  # the name that the user knows, instead of the `.part`
        raise
