"""Link local copies of a corpus's real recordings to where it has them, and fetch from YouTube what is missing.

python3 -m sed.bin.index_audio [--audio DIR]... [--fetch] local/desed_recordings.tsv downloads
"""

from __future__ import annotations

from pathlib import Path

from sed.cli import entry, setup_logging
from sed.config import Parser
from sed.data.download import youtube
from sed.data.download.audioset import index, link, read_sets, write_missing
from sed.errors import UserError
from sed.files import lock


@entry
def main() -> None:
    parser = Parser(__doc__.splitlines()[0])
    parser.add_argument("recordings", type=Path, help="table of metadata files and their folders of recordings")
    parser.add_argument("downloads", type=Path, help="folder of the corpus")
    parser.option("audio", [], "folder with copies of recordings, at any depth", type=Path, action="append")
    parser.option("fetch", False, "fetch with yt-dlp what is still missing")
    parser.option("yt_dlp", "yt-dlp", "the yt-dlp to run")
    parser.option("fetch_pause", 5.0, "seconds to sleep between two fetches, on average", least=0.0)
    parser.option("fetch_limit", 0, "most recordings to ask for in this run; 0: all", least=0)
    args = parser.parse_args()
    log = setup_logging()
    if not args.downloads.is_dir():
        raise UserError(f"{args.downloads}: no such folder (download the metadata first)")
    with lock(args.downloads):
        sets = read_sets(args.recordings, args.downloads)
        wanted = {key for one in sets for key in one.names.values()}
        link(sets, index(args.audio, wanted))
        failures = youtube.Failures(args.downloads / "not_fetched.tsv")
        if args.fetch:
            places = [(one.folder / name, one.names[name]) for one in sets for name in one.missing]
            youtube.fetch(places, failures, command=args.yt_dlp, between=args.fetch_pause, limit=args.fetch_limit)
        for one in sets:
            log.info("%s", one.line())
        list_of = args.downloads / "missing_recordings.tsv"
        if missing := write_missing(list_of, sets, failures.reason):
            log.info("%d recordings are missing, listed in %s; --audio and --fetch bring some", missing, list_of)


if __name__ == "__main__":
    main()
