"""Check data directories; report the first fault with its file and line, and what to do.

usage: python3 -m sed.bin.check_data_dir [--labels FILE] [--no-wav] data/<set>...

In a good one, wav.scp and durations.tsv name the same clips, each once, and wav.scp is sorted by bytes (LC_ALL=C). Of
the tables events.tsv, soft.tsv and tags.tsv, a set may have any, with only clips of wav.scp and labels of labels.txt:
events.tsv and soft.tsv have 0 <= onset < offset <= duration (2 ms of rounding allowed), a clip's spans of one label in
soft.tsv ascend and do not overlap, and tags.tsv has one row for each clip.
"""

from __future__ import annotations

from pathlib import Path

from sed.cli import entry
from sed.config import Parser
from sed.data.directory import DataDir, read_labels
from sed.data.tables import DATA_DIR
from sed.errors import UserError


@entry
def main() -> None:
    """Load every directory and look for its audio files."""
    parser = Parser(__doc__.splitlines()[0])
    parser.add_argument("directories", nargs="+", type=Path, metavar="DIR", help="data directories")
    parser.option("labels", None, "the allowed labels, one per line (default: labels.txt beside the directory)")
    parser.option("wav", True, "also check that the audio files exist")
    args = parser.parse_args()
    for directory in args.directories:
        if not directory.is_dir():  # before a missing labels.txt is reported
            raise UserError(f"{directory}: no such data directory (run stage 1, or check the path)")
        data = DataDir.load(directory, read_labels(args.labels or directory.parent / "labels.txt", DATA_DIR))
        if args.wav:
            data.check_audio()


if __name__ == "__main__":
    main()
