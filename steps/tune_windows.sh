#!/usr/bin/env bash
# Choose how a model predicts on recordings longer than its window (overlap of windows, windows centred on events), by
# event-based F1 on at most ten minutes (--minutes in ARGS) of the long recordings that a set's clips were cut from (clip ids
# `<recording>_<start>_<end>`, times in seconds with three decimals).
#
# usage: steps/tune_windows.sh [options] <data/set> <exp/x>
#
#   --cmd CMD           script that runs the jobs: utils/run.sh here, utils/slurm.sh on a cluster (utils/run.sh)
#   --ngpu N            0: the CPU; else one GPU (1)
#   --tune-args ARGS    options of sed.bin.tune_windows, one string ("--overlaps 0,0.8")
#   --force BOOL        choose again (false)
#
# Writes <exp/x>/windows.json, which predict uses; nothing if no recording has several clips without a gap: an earlier
# choice is then removed. Redone if the model, the set or ARGS have changed.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder
root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# overlaps as shares of a window: none, and the default of predict
cmd=${root}/utils/run.sh ngpu=1 tune_args="--overlaps 0,0.8" force=false
source "${root}/utils/parse_options.sh"
(($# == 2)) || usage
data=${1%/} exp=${2%/}
source "${root}/utils/step.sh"

[[ -f ${exp}/final.pt ]] || die "${exp}/final.pt: no such file (train the model first)"
[[ -f ${data}/wav.scp && -f ${data}/events.tsv ]] || die "${data}: no data directory with events (run stage 1 first)"
split_words "${tune_args}"
asked=$(state_of "${exp}/final.pt" "${data}"/{wav.scp,events.tsv} && printf '%s\n' ${words[@]+"${words[@]}"})
[[ ${force} == true || ! -f ${exp}/windows.json ]] || ! same "${exp}/windows.json.of" "${asked}" || finished "${exp}/windows.json: already done"
"${cmd[@]}" --gpu "$((ngpu > 0))" "${exp}/log/tune_windows.log" \
    python3 -m sed.bin.tune_windows --clips "${data}" ${words[@]+"${words[@]}"} "${exp}"
# older than the last run's windows.json.of: this run has chosen none, and those of another model or set must not stay
[[ ! ${exp}/windows.json -ot ${exp}/windows.json.of ]] || rm -f "${exp}/windows.json"
remember "${exp}/windows.json.of" "${asked}"
