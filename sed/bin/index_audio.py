"""Link or extract copies of a corpus's real recordings into its folders, and fetch missing ones from YouTube.

usage: python3 -m sed.bin.index_audio [--audio DIR]... [--fetch] local/desed_recordings.tsv downloads

Copies are files (linked) or members of shards (webdataset tars, zip files and parquet tables), below --audio and in
downloads/copies, where stage 0 of a recipe stores those that others publish (local/download.sh). Tables in the
corpus's folder report the result: origins.tsv (where each recording came from) and others that
sed.data.download.collect describes, missing_recordings.tsv and, with --fetch, not_fetched.tsv.
"""

from __future__ import annotations

from pathlib import Path

from sed.cli import entry, setup_logging
from sed.config import Parser
from sed.data.download import youtube
from sed.data.download.audioset import index, read_sets, write_missing
from sed.data.download.collect import Collection, find_shards
from sed.errors import UserError
from sed.files import lock


@entry
def main() -> None:
    parser = Parser(__doc__.splitlines()[0])
    parser.add_argument("recordings", type=Path, help="table of metadata files and their folders of recordings")
    parser.add_argument("downloads", type=Path, help="folder of the corpus")
    parser.option("audio", [], "folder with copies or shards at any depth, or a shard", type=Path, action="append")
    parser.option("fetch", False, "fetch missing recordings from YouTube with yt-dlp")
    parser.option("yt_dlp", "yt-dlp", "command that runs yt-dlp")
    parser.option("fetch_pause", 5.0, "seconds to sleep between two fetches, on average", least=0.0)
    parser.option("fetch_limit", 0, "largest number of recordings to request in this run; 0: all", least=0)
    args = parser.parse_args()
    log = setup_logging()
    if not args.downloads.is_dir():
        raise UserError(f"{args.downloads}: no such folder (download the metadata first)")
    if args.fetch:
        youtube.find_program(args.yt_dlp)  # before copies are read, which may take hours
    with lock(args.downloads):
        sets = read_sets(args.recordings, args.downloads)
        collection = Collection(sets, args.downloads)
        copies = sorted(path for path in (args.downloads / "copies").glob("*") if path.is_dir())
        folders = [*args.audio, *copies]
        collection.link(index(folders, collection.places), folders)
        unknown = collection.read_shards(find_shards(folders))
        failures = youtube.Failures(args.downloads / "not_fetched.tsv")
        if args.fetch:
            places = [(one.folder / name, one.names[name]) for one in sets for name in one.missing]
            youtube.fetch(
                places,
                failures,
                command=args.yt_dlp,
                between=args.fetch_pause,
                limit=args.fetch_limit,
                note=collection.note_fetched,
            )
        collection.close(unknown)
        for one in sets:
            log.info("%s", one.line())
        list_of = args.downloads / "missing_recordings.tsv"
        if missing := write_missing(list_of, sets, failures.reason):
            log.info("%d recordings are missing, listed in %s; --audio and --fetch bring some", missing, list_of)


if __name__ == "__main__":
    main()
