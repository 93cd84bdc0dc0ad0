"""Make a data directory from a metadata TSV in DESED's columns and a folder of audio.

usage: python3 -m sed.bin.make_data_dir --labels labels.txt --kind strong|weak|unlabelled [options] <tsv> <audio> <out>

strong: filename onset offset event_label; weak: filename event_labels (comma-separated); unlabelled: filename.
Audio is found by file name without its last suffix, at any depth. Bad files are left out and listed in
<out>/bad_audio.tsv. With --absent there is no audio, and <audio> is not read: <out>, such as weak.tsv, is then the
coverage.tsv of a set `weak` that has audio of 0 of its clips.
"""

from __future__ import annotations

from pathlib import Path

from sed.cli import entry, setup_logging
from sed.config import Parser
from sed.data.directory import read_labels
from sed.data.prepare.coverage import write_coverage
from sed.data.prepare.data_directory import KINDS, make_data_dir, read_annotation
from sed.errors import UserError
from sed.files import lock


@entry
def main() -> None:
    parser = Parser(__doc__.splitlines()[0])
    parser.add_argument("tsv", type=Path, help="metadata")
    parser.add_argument("audio", type=Path, help="folder of audio files")
    parser.add_argument("out", type=Path, help="data directory to write")
    parser.option("labels", "data/labels.txt", "the labels, one per line")
    parser.option("kind", "strong", "kind of annotation in the TSV", choices=KINDS)
    parser.option(
        "durations",
        "",
        "TSV of durations (columns filename, duration; seconds) that the audio must have; for clips that it lacks "
        "(default: for all), the difference of the times in their name, if it is AudioSet's",
    )
    parser.option("origins", "", "origins.tsv of stage 0: adds where the clips are from to coverage.tsv")
    parser.option(
        "soft",
        "",
        "TSV of soft labels: the columns of a strong TSV, and share: of the annotators who marked the label, in (0, 1]",
    )
    parser.option("nj", 2, "threads of the audio check", least=1, most=1024)
    parser.option("max-bad", 5.0, "refuse when more than this percentage of the files is bad", least=0, most=100)
    parser.option(
        "max-dropped",
        10.0,
        "refuse when more than this percentage of the events do not fit their clips (sed/data/events.py)",
        least=0,
        most=100,
    )
    parser.option(
        "min-coverage", 0.0, "refuse when less than this percentage of the clips has audio", least=0, most=100
    )
    parser.option("min-seconds", 0.1, "shorter files count as bad (s)", least=0)
    parser.option("max-seconds", 60.0, "longer files count as bad (s)", least=0)
    parser.option("absent", False, "the set has no audio: only write <out>, a coverage.tsv that states this")
    args = parser.parse_args()
    setup_logging()
    if args.absent:
        annotation = read_annotation(args.tsv, args.kind, read_labels(args.labels))
        write_coverage(args.out, args.out.stem, annotation.clips, set(), {} if args.origins else None)
        return
    if not args.audio.is_dir():
        raise UserError(f"{args.audio}: no such folder of audio (check the path)")
    with lock(args.out):
        make_data_dir(
            args.tsv,
            args.audio,
            args.out,
            kind=args.kind,
            labels=read_labels(args.labels),
            durations=Path(args.durations) if args.durations else None,
            jobs=args.nj,
            max_bad=args.max_bad,
            max_dropped=args.max_dropped,
            min_coverage=args.min_coverage,
            shortest=args.min_seconds,
            longest=args.max_seconds,
            origins=Path(args.origins) if args.origins else None,
            soft=Path(args.soft) if args.soft else None,
        )


if __name__ == "__main__":
    main()
