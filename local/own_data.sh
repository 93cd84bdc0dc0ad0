#!/usr/bin/env bash
# Stage 0 of own_data: lay out a folder of recordings and a table of events or tags like DESED.
#
# usage: local/own_data.sh --recordings DIR [options] <downloads>
#
#   --recordings DIR   audio files at any depth, of any format, rate and length; those longer than a clip are cut into clips
#   --events FILE      TSV: filename, onset, offset, event_label (a file name alone: a recording without events);
#                      or labels of another tool (Audacity, CSV, Raven, TextGrid, ELAN, Label Studio, JAMS, ...): a file or a
#                      folder (DIR itself if neither --events nor --tags is given)
#   --tags FILE        TSV: filename, event_labels (comma-separated), of recordings without a row in --events
#   --from MODEL       packed model whose labels are kept, besides those of the tables
#   --validation X     fraction of the recordings in --events, also those without events, that goes to validation, 0 to
#                      0.9; with --group, of their groups (0.2)
#   --group REGEX      recordings whose names, without folder and suffix, give the same match are not split between training
#                      and validation: a speaker, a place, a day (none: each recording by itself)
#   --seconds X        length of a clip in seconds, 1 or more (10)
#   --seed N           seed of the split (0)
#   --max-bad X        refuse if more than X % of the recordings cannot be read, are silent or shorter than 0.1 s; fewer
#                      are left out (20)
#   --max-dropped X    refuse if more than X % of the events have no length, begin beyond their recording's end, or end
#                      more than 0.5 s beyond it (10)
#   --nj N             recordings at once (2)
#
# X may have decimals. Recordings in no table are used for training without labels. The labels are those of the tables and of --from.

[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder

root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
recordings='' events='' tags='' from='' validation=0.2 group='' seconds=10.0 seed=0 nj=2 max_bad=20.0 max_dropped=10.0
# shellcheck source=utils/parse_options.sh
source "${root}/utils/parse_options.sh"
(($# == 1)) || usage
[[ -n ${recordings} ]] || die "no --recordings given: the folder of your audio (see --help)"
export PYTHONPATH=${root}${PYTHONPATH:+:${PYTHONPATH}}

exec python3 -m sed.bin.own_data --events "${events}" --tags "${tags}" --from "${from}" --validation "${validation}" \
    --group "${group}" --seconds "${seconds}" --seed "${seed}" --nj "${nj}" \
    --max-bad "${max_bad}" --max-dropped "${max_dropped}" "${recordings}" "$1"
