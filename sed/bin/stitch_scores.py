"""Average the scores of overlapping windows to scores of the recordings that they were cut from.

usage: python3 -m sed.bin.stitch_scores exp/x/set/windows.h5 dump/set/recordings exp/x/set/scores.h5

The folder has windows.tsv (filename, recording, onset) and durations.tsv of the recordings, as sed.bin.cut_recordings
--hop writes them; sed/data/windows.py explains them.
"""

from __future__ import annotations

from pathlib import Path

from sed.cli import entry, setup_logging
from sed.config import Parser, output_file
from sed.files import check_outputs


@entry
def main() -> None:
    """Read, average, write."""
    parser = Parser(__doc__.split("\n", 1)[0])
    parser.add_argument("scores", type=Path, help="scores of the windows")
    parser.add_argument("recordings", type=Path, help="folder of windows.tsv and durations.tsv")
    parser.add_argument("output", type=output_file, help="scores.h5 to write")
    args = parser.parse_args()
    logger = setup_logging()
    check_outputs([args.output], [args.scores])

    from sed.data.scores import read_scores, write_scores
    from sed.data.windows import read_windows
    from sed.evaluation.stitching import stitch

    windows, durations = read_windows(args.recordings)
    scores = stitch(read_scores(args.scores), windows, durations, where=str(args.scores))
    write_scores(args.output, scores)
    logger.info("%s: %d recordings of %d windows", args.output, len(scores.clips), scores.attrs["windows"])


if __name__ == "__main__":
    main()
