"""Write the groups of RealDESED's recordings that its authors score apart: device, its placement, rooms.

usage: python3 -m local.realdesed.groups test/metadata.csv groups.tsv

groups.tsv is for sed.bin.score --groups. Its columns are filename, device_placement, device (ios, android, other), and
one for each room of recording_environment, which holds the room's name where the recording was made there.
"""

from __future__ import annotations

import re
from pathlib import Path

from sed.cli import entry
from sed.config import Parser, output_file
from sed.data.prepare.clips import csv_rows
from sed.data.tables import audio_stem, write_tsv

COLUMNS = ("filename", "device_placement", "recording_device", "recording_environment")
# beginnings of words that participants wrote for their phone, some misspelt; iOS is looked for first
IOS = "iphon", "ipad", "i pad"
ANDROID = (
    *("android", "samsung", "galaxy", "pixel", "xiaomi", "xioami", "redmi", "poco", "moto", "honor", "huawei"),
    *("oneplus", "oppo", "vivo", "realme", "nothing phone", "cmf phone", "fairphone", "zenfone", "hmd skyline"),
)


@entry
def main() -> None:
    """Read, group, write."""
    parser = Parser(__doc__.split("\n", 1)[0])
    parser.add_argument("metadata", type=Path, help="metadata.csv of a split")
    parser.add_argument("output", type=output_file, help="groups.tsv to write")
    args = parser.parse_args()
    write_groups(args.metadata, args.output)


def device(text: str) -> str:
    """Return ios, android or other, by what a participant wrote for the device."""
    words = " ".join(re.split(r"[\s_-]+", text.lower())).strip()
    for name, starts in (("ios", IOS), ("android", ANDROID)):
        if any(re.search(rf"\b{start}", words) for start in starts):
            return name
    return "other"


def write_groups(metadata: Path, out: Path) -> None:
    """Write the groups of a split's recordings.

    Raises:
        UserError: the metadata are missing or lack a column.
    """
    rows = [
        (audio_stem(row[0]), " ".join(row[1].split()), device(row[2]), _rooms(row[3]))
        for _, row in csv_rows(metadata, COLUMNS)
    ]
    rooms = sorted({room for *_, recorded_in in rows for room in recorded_in})
    write_tsv(
        out,
        ("filename", "device_placement", "device", *rooms),
        [
            # "_" for blanks, as cut_recordings names the recordings
            ("_".join(name.split()), *devices, *(room * (room in recorded_in) for room in rooms))
            for name, *devices, recorded_in in rows
        ],
    )


def _rooms(text: str) -> set[str]:
    """Return the rooms of a field, which separates them by semicolons."""
    return {room for part in text.split(";") if (room := " ".join(part.split()))}


if __name__ == "__main__":
    main()
