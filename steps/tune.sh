#!/usr/bin/env bash
# Tune post-processing on a dumped set, to be used on other sets (steps/score.sh --score-args "--tuned FILE").
#
# usage: steps/tune.sh [options] <dump/set> <exp/x> <tuned.json>
#
#   --cmd CMD         script that runs the jobs: utils/run.sh here, utils/slurm.sh on a cluster (utils/run.sh)
#   --ngpu N          0: the CPU; else one GPU (1)
#   --tune-args ARGS  options of sed.bin.tune ("--post-processing csebbs --what csebbs,threshold")
#
# Tunes on <exp/x>/<set>/scores.h5, which infer.sh makes first unless it is current.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder
root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cmd=${root}/utils/run.sh ngpu=1 tune_args="--post-processing csebbs --what csebbs,threshold"
source "${root}/utils/parse_options.sh"
(($# == 3)) || usage
dump=${1%/} model=${2%/} out=$3
asked_cmd=${cmd}
source "${root}/utils/step.sh"

set=$(basename "${dump}") labels=$(labels_of "${dump}")
split_words "${tune_args}" # sets `words`; here, so that an unmatched quote is found before the inference
"${root}/steps/infer.sh" --cmd "${asked_cmd}" --ngpu "${ngpu}" "${dump}" "${model}" "${model}/${set}"
"${cmd[@]}" "${model}/${set}/log/tune.log" \
    python3 -m sed.bin.tune "${model}/${set}/scores.h5" --ground-truth "${labels}/events.tsv" \
    --durations "${labels}/durations.tsv" --set "${set}" --out "${out}" ${words[@]+"${words[@]}"}
