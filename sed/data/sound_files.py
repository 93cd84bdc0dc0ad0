"""Write audio files atomically: encoded in memory, so that disk errors name the file."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np

from sed.input_files import naming


def write_sound(path: Path, samples: np.ndarray, rate: int) -> None:
    """Write samples as 16 bits a sample, in the format of the path's suffix; a killed writer leaves `.NAME.part`.

    libsndfile calls every failure of a disk a "System error", and takes no name that is not text.

    Args:
        path: the file, `.wav` or `.flac`.
        samples: (samples,) or (samples, channels), within full scale.
        rate: Hz.

    Raises:
        OSError: it cannot be written; the error names `path`.
    """
    import soundfile

    encoded = BytesIO()
    soundfile.write(encoded, samples, rate, subtype="PCM_16", format=path.suffix[1:].upper())
    part = path.with_name(f".{path.name}.part")
    try:
        with naming(path):
            part.write_bytes(encoded.getbuffer())
            part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        error.filename, error.filename2 = str(path), None  # the name that the user knows
        raise
