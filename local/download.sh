#!/usr/bin/env bash
# Stage 0: download a corpus into its own layout, and link copies of the recordings that its archives lack.
#
# usage: local/download.sh [options] <downloads>
#
#   --corpus NAME        corpus; local/<name>_records.tsv lists its downloads; local/<name>_recordings.tsv, if it exists, the
#                        tables of recordings that are linked one by one (desed)
#   --parts LIST         parts to download, comma-separated; docs/reproduce.md explains desed's (synthetic,metadata,strong,public,
#                        xares,ast; optional: soundbank, panns, atst_frame, beats)
#   --archives DIR       folder of files that you downloaded by hand; only what it lacks is downloaded; may be repeated
#   --research-only LIST copies of the recordings to download too though their terms allow research only; local/<name>_copies.tsv
#                        lists them: of desed, minhleduc ("")
#   --mirror URL         server to use instead of all hosts (Zenodo, Hugging Face, GitHub, ...); paths on a host are appended to URL
#   --ast FILE           AudioSet AST checkpoint (.pth, .pt, .safetensors) to link instead of downloading one
#   --audio PATH         copies of the AudioSet recordings, any names, formats and depth: a folder of recordings, webdataset tars,
#                        zip files or parquet tables, or a single tar, zip file or table; may be repeated
#   --fetch BOOL         fetch the recordings that are still missing with yt-dlp, slowly (false)
#   --fetch-pause N      seconds to wait between two fetches, on average (5)
#   --keep-archives BOOL keep archives after unpacking (true)
#   --timeout N          seconds without data after which a connection counts as stalled (60)
#   --retries N          new attempts in a row without progress before a download is given up; 2 if the host never answered (8)
#   --nj N               parts at once (3)
#
# Writes <downloads>/{audio,metadata}, <downloads>/ast.<pth|safetensors>, <downloads>/copies (others' copies of the recordings)
# and, for a corpus with a table of recordings, <downloads>/{missing_recordings,origins,differing_copies,unknown_keys}.tsv, with
# --fetch also not_fetched.tsv (docs/reproduce.md). After a kill at any time the same command resumes; complete files are kept,
# without asking the network.

[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder

repeated=() audio_args=() previous=''
for word; do # collect the options that may be repeated: parse_options.sh checks them all, but keeps only the last value
    case ${previous} in
        --archives) repeated+=(--archives "${word}") ;;
        --audio) audio_args+=(--audio "${word}") ;;
    esac
    case ${word} in
        --archives=*) repeated+=("${word}") ;;
        --audio=*) audio_args+=("${word}") ;;
    esac
    previous=${word}
done

root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
corpus=desed parts=synthetic,metadata,strong,public,xares,ast research_only='' archives='' mirror='' ast='' audio='' fetch=false
fetch_pause=5 keep_archives=true timeout=60 retries=8 nj=3
# shellcheck source=utils/parse_options.sh
source "${root}/utils/parse_options.sh"
(($# == 1)) || usage
[[ -z ${archives} || -d ${archives} ]] || die "--archives: no such folder: ${archives}"
downloads=$1
recordings=${root}/local/${corpus}_recordings.tsv
if [[ -e ${root}/local/${corpus}_records.tsv && ! -e ${recordings} ]]; then
    [[ -z ${audio} ]] || die "--audio: all recordings of ${corpus} are in its archives (leave it out)"
    [[ ${fetch} == false ]] || die "--fetch: all recordings of ${corpus} are in its archives (leave it out)"
fi
# what is given by hand is checked before the download, which may take hours
for word in ${audio_args[@]+"${audio_args[@]}"}; do
    word=${word#--audio=}
    [[ ${word} == --audio || -e ${word} ]] || die "--audio: no such file or folder: ${word}"
done
[[ ${fetch} == false ]] || command -v yt-dlp >/dev/null || die "--fetch: there is no yt-dlp (pip install yt-dlp; it needs ffmpeg, too)"
export PYTHONPATH=${root}${PYTHONPATH:+:${PYTHONPATH}}

code=0 keep=--keep-archives
[[ ${keep_archives} == true ]] || keep=--no-keep-archives
copies=${root}/local/${corpus}_copies.tsv
[[ -e ${copies} ]] || copies=''
python3 -m sed.bin.download --parts "${parts}" --mirror "${mirror}" --ast "${ast}" --nj "${nj}" "${keep}" \
    --research-only "${research_only}" \
    --timeout "${timeout}" --retries "${retries}" ${repeated[@]+"${repeated[@]}"} \
    "${root}/local/${corpus}_records.tsv" "${downloads}" || code=$?
((code < 128)) || exit "${code}" # interrupted or killed
if ((code > 0)); then            # recordings are linked even if the AST cannot be downloaded
    [[ ,${parts}, == *,ast,* && ! -e ${downloads}/ast.pth && ! -e ${downloads}/ast.safetensors ]] || exit "${code}"
    for part in ${parts//,/ }; do
        ! { [[ -n ${copies} ]] && cut -f 1 "${copies}" | grep -qxF -- "${part}"; } || continue # a copy is optional
        [[ ${part} == ast || -e ${downloads}/.${part}.done ]] || exit "${code}"                # another part failed, too
    done
fi

if [[ -e ${recordings} ]]; then
    [[ ${fetch} == false ]] || audio_args+=(--fetch --fetch-pause "${fetch_pause}")
    python3 -m sed.bin.index_audio ${audio_args[@]+"${audio_args[@]}"} "${recordings}" "${downloads}"
fi
if ((code > 0)); then
    printf '%s: the AST could not be downloaded (see the error above): run again, or give a checkpoint by --ast FILE\n' \
        "$(basename "$0")" >&2
    exit "${code}"
fi
