#!/usr/bin/env bash
# Train, import or score experiments one after the other, each on --ngpu GPUs (steps/sweep.sh: several at once, one GPU each).
#
# usage: steps/each.sh [options] <train|import|score|cross_fit> <list.tsv> <exp>
#
#   --cmd CMD           script that runs all jobs but scoring: utils/run.sh here, utils/slurm.sh on a cluster (utils/run.sh)
#   --ngpu N            GPUs of a training on each machine; inference uses one per job; 0: the CPU (1)
#   --nodes N           machines of a training (1)
#   --train-args ARGS   more options of sed.bin.train, for all, one string
#   --infer-nj N        parallel jobs of inference (1)
#   --infer-args ARGS   more options of sed.bin.infer, one string
#   --score-cmd CMD     script that runs scoring (utils/run.sh)
#   --score-args ARGS   more options of sed.bin.score, one string
#   --test-sets SETS    sets of the dump to score on, one string ("validation")
#   --force BOOL        redo what is finished (false)
#
# The list is printed by `steps/experiments.sh <train|import|score|cross_fit>`; `-` reads it from standard input. Columns of
# train, score and cross_fit: name, config, dump, options of sed.bin.train or score; of import: name, config, dump, class
# map, published checkpoint. An experiment that another starts from must come before it. Finished work is skipped; the
# first failure ends the script. cross_fit takes the posteriors that `score` has inferred, and scores each half of the
# clips with post-processing tuned on the other half, into <exp>/<name>/<set>_cross_fitted.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder
root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cmd=${root}/utils/run.sh score_cmd=${root}/utils/run.sh ngpu=1 nodes=1 train_args="" infer_nj=1 infer_args="" score_args=""
test_sets=validation force=false
source "${root}/utils/parse_options.sh"
(($# == 3)) || usage
what=$1 list=$2 exp=${3%/} asked_cmd=${cmd} # before utils/step.sh makes cmd an array
[[ " train import score cross_fit " == *" ${what} "* ]] || die "'${what}' is none of train, import, score, cross_fit (see --help)"
[[ ${list} == - || -e ${list} && ! -d ${list} ]] || die "${list}: no such file" # a pipe is one, too: <(command)
source "${root}/utils/step.sh"

mapfile -t lines < <(grep . "${list}")
for line in ${lines[@]+"${lines[@]}"}; do
    IFS=$'\t' read -r name conf dump options checkpoint <<<"${line}"
    if [[ ${what} == train ]]; then
        "${root}/steps/train.sh" --cmd "${asked_cmd}" --ngpu "${ngpu}" --nodes "${nodes}" --force "${force}" \
            --train-args "${options} ${train_args}" "${conf}" "${dump}" "${exp}/${name}"
        continue
    fi
    if [[ ${what} == import ]]; then # the column of options has the class map
        "${root}/steps/import_model.sh" --cmd "${asked_cmd}" --ngpu "$((ngpu > 0))" --force "${force}" \
            --class-map "${options}" "${conf}" "${checkpoint}" "${dump}" "${exp}/${name}"
        continue
    fi
    for set in ${test_sets}; do
        scored=${exp}/${name}/${set} scoring=${options}
        if [[ ${what} == cross_fit ]]; then
            scored+=_cross_fitted scoring+=" --set ${set}" # the folder's name is not the set's
            mkdir -p "${scored}"
            ln -sfn "../${set}/scores.h5" "${scored}/scores.h5"
        fi
        [[ ${what} == cross_fit ]] || "${root}/steps/infer.sh" --cmd "${asked_cmd}" --nj "${infer_nj}" --ngpu "${ngpu}" --infer-args "${infer_args}" \
            --force "${force}" "${dump}/${set}" "${exp}/${name}" "${exp}/${name}/${set}"
        "${root}/steps/score.sh" --cmd "${score_cmd}" --score-args "${scoring} ${score_args}" --force "${force}" \
            "${dump}/${set}" "${scored}"
    done
done
