#!/usr/bin/env bash
# The recipe on a small corpus that it makes itself: minutes on two CPU cores, nothing to download.
#
# usage: egs/mini_desed/run.sh [options]
#
#   --soundbank DIR   recordings to make the corpus of: {train,validation}/{foreground,background,distractor}/<label>/
#                     (sounds made by rule, of DESED's ten labels)
#   --seed N          seed of the corpus (0)
#
# and every option of egs/desed/run.sh; --work is this folder unless given, --ngpu 0.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export SED_COMMAND="egs/mini_desed/run.sh${*:+ $(printf '%q ' "$@")}"
export SED_COMMAND=${SED_COMMAND% }
download="local/mini_desed.sh" rest=()
while (($#)); do
    case $1 in
        --soundbank | --seed)
            (($# > 1)) || { printf 'run.sh: %s needs a value (see --help)\n' "$1" >&2 && exit 2; }
            set -- "$1=$2" "${@:3}"
            continue
            ;;
        --soundbank=*) download+=" --soundbank $(printf '%q' "$(realpath -m "${1#*=}")")" ;;
        --seed=*) download+=" $1" ;;
        -h | --help) awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0" && rest+=("$1") ;;
        *) rest+=("$1") ;;
    esac
    shift
done
exec "${here}/../desed/run.sh" --work "${here}" --download "${download}" --feature-conf conf/mini/logmel.yaml \
    --gru-conf conf/mini/ast_gru.yaml --conf conf/mini/ast_sed.yaml --nj 2 --ngpu 0 ${rest[@]+"${rest[@]}"}
