#!/usr/bin/env bash
# Compute the features of all data directories, with one or more front ends.
#
# usage: steps/dump_sets.sh [options] <data> <list.tsv>
#
#   --cmd CMD      script that runs the jobs: utils/run.sh here, utils/slurm.sh on a cluster (utils/run.sh)
#   --nj N         parallel jobs (4)
#   --force BOOL   redo what is finished (false)
#
# A line of the list: config of a front end, a tab, folder of its dump (`steps/experiments.sh features` prints such
# lists); `-` reads the list from standard input. Each <data>/<set> becomes <folder>/<set>. Prints a warning if the sets
# differ by more than 10 dB in level, or if a folder has features of a set that is neither in <data> nor of pseudo-labels,
# which steps/pseudo_label.sh makes in the folder itself.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder
root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cmd=${root}/utils/run.sh nj=4 force=false
source "${root}/utils/parse_options.sh"
(($# == 2)) || usage
data=${1%/} list=$2 asked_cmd=${cmd}
[[ ${list} == - || -e ${list} && ! -d ${list} ]] || die "${list}: no such file" # a pipe is one, too: <(command)
source "${root}/utils/step.sh"

scps=("${data}"/*/wav.scp)
[[ -e ${scps[0]} ]] || die "${data}: no data directories (run stage 1 first)"
mapfile -t front_ends < <(grep . "${list}")
for front_end in ${front_ends[@]+"${front_ends[@]}"}; do
    IFS=$'\t' read -r conf dump <<<"${front_end}"
    dumps=()
    for scp in "${scps[@]}"; do
        set=$(basename "$(dirname "${scp}")")
        "${root}/steps/dump_features.sh" --cmd "${asked_cmd}" --nj "${nj}" --conf "${conf}" --force "${force}" \
            "${data}/${set}" "${dump}/${set}"
        dumps+=("${dump}/${set}")
    done
    for scp in "${dump}"/*/feats.scp; do
        set=$(basename "$(dirname "${scp}")")
        [[ ! -e ${scp} || -e ${data}/${set}/wav.scp || -e ${dump}/${set}/pseudo_labels.json ]] ||
            say "${dump}/${set}: features of a set that is not in ${data}; configs that name it still use it (remove it if it is stale)"
    done
    python3 -m sed.bin.compare_levels "${dumps[@]}"
done
