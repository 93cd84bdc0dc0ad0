#!/usr/bin/env bash
# The recipe on a small corpus that it makes itself: minutes on two CPU cores, no corpus to download.
#
# usage: egs/mini_desed/run.sh [options]
#
#   --soundbank DIR   recordings to mix: {train,validation}/foreground/<label>/ of the labels to detect and, if any,
#                     {background,distractor}/<any name>/ beside foreground/; distractors are events without a label
#                     (procedural sounds with DESED's ten labels)
#   --seed N          seed of the corpus (0)
#
# and every option of egs/desed/run.sh; by default --work is the recipe's folder, --ngpu 0, --nj 2, and the configs are
# those of conf/mini/.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export SED_COMMAND="egs/mini_desed/run.sh${*:+ $(printf '%q ' "$@")}" # stated in results
export SED_COMMAND=${SED_COMMAND% }
soundbank="" seed=0 options_pass=${here}/../desed/run.sh
source "${here}/../../utils/parse_options.sh"

download="local/mini_desed.sh --seed ${seed}"
[[ -z ${soundbank} ]] || download+=" --soundbank $(quoted "$(realpath -m "${soundbank}")")"
exec "${options_pass}" --work "${here}" --download "${download}" --feature-conf conf/mini/logmel.yaml \
    --gru-conf conf/mini/ast_gru.yaml --conf conf/mini/ast_sed.yaml --nj 2 --ngpu 0 ${passed[@]+"${passed[@]}"} "$@"
