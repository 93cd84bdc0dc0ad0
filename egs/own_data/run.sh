#!/usr/bin/env bash
# A detector of your own sounds: a folder of recordings and a table of what is in them.
#
# usage: egs/own_data/run.sh --recordings DIR --events FILE [options]
#
#   --recordings DIR   your audio
#   --events FILE      TSV: filename, onset, offset, event_label
#   --tags FILE        TSV: filename, event_labels; instead of events (then add --stop-stage 4), or besides
#   --validation P     share of the recordings that is kept to score on (0.2)
#   --group REGEX      recordings in whose names it finds the same stay on one side of the split
#   --from MODEL       fine-tune this packed model (sed.bin.pack), with its own config and front end
#
# and every option of egs/desed/run.sh; --work is this folder unless given. Stage 3 (AST-GRU) runs only when asked for.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export SED_COMMAND="egs/own_data/run.sh${*:+ $(printf '%q ' "$@")}"
export SED_COMMAND=${SED_COMMAND% }
download="local/own_data.sh" rest=() whole=true
while (($#)); do
    case $1 in
        --recordings | --events | --tags | --validation | --group | --from)
            (($# > 1)) || { printf 'run.sh: %s needs a value (see --help)\n' "$1" >&2 && exit 2; }
            set -- "$1=$2" "${@:3}"
            continue
            ;;
        --recordings=* | --events=* | --tags=*) download+=" ${1%%=*} $(printf '%q' "$(realpath -m "${1#*=}")")" ;;
        --validation=* | --group=*) download+=" ${1%%=*} $(printf '%q' "${1#*=}")" ;;
        --from=*)
            model=$(realpath -m "${1#*=}")
            [[ -f ${model}/model.json ]] || { printf 'run.sh: %s: no packed model (sed.bin.pack makes one)\n' "${model}" >&2 && exit 2; }
            rest+=(--conf "${model}/config.yaml" --feature-conf "${model}/logmel.yaml" --pretrained "${model}" --tag finetuned)
            ;;
        -h | --help) awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0" && whole=false && rest+=("$1") ;;
        --stage | --stage=* | --stop[-_]stage | --stop[-_]stage=*) whole=false && rest+=("$1") ;;
        *) rest+=("$1") ;;
    esac
    shift
done
recipe() { "${here}/../desed/run.sh" --work "${here}" --download "${download}" ${rest[@]+"${rest[@]}"} "$@"; }
if [[ ${whole} == true ]]; then
    recipe --stop-stage 2
    recipe --stage 4
else
    recipe
fi
