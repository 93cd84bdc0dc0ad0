#!/usr/bin/env bash
# Train a detector; a killed training is resumed from its last checkpoint.
#
# usage: steps/train.sh [options] <conf/x.yaml> <dump> <exp/x>
#
#   --cmd CMD           script that runs the jobs: utils/run.sh here, utils/slurm.sh on a cluster (utils/run.sh)
#   --ngpu N            GPUs per machine; 0: the CPU, one process per machine (1)
#   --nodes N           machines (1)
#   --pretrained FILE   checkpoint that training starts from, or its name in sed/checkpoints/published_models.tsv or on
#                       Hugging Face; 'none': random weights (the config's, if it names one)
#   --train-args ARGS   more options of sed.bin.train, one string
#   --force BOOL        train again (false)
#
# Writes <exp/x>/{config.yaml,train.log,final.pt,info.json}, then .done, the mark of a finished training; until then
# checkpoints/, for resuming. train.log is the log of all runs, log/train.log has all output of the last one.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder
root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cmd=${root}/utils/run.sh ngpu=1 nodes=1 pretrained="" train_args="" force=false
source "${root}/utils/parse_options.sh"
(($# == 3)) || usage
conf=$1 dump=${2%/} exp=${3%/}
source "${root}/utils/step.sh"

[[ -f ${conf} ]] || die "${conf}: no such config (the recipes' are in conf/)"
if [[ ! -f ${dump}/labels.txt ]]; then
    front_end=$(python3 -m sed.bin.show_config "${conf}" --keys features)
    die "${dump}/labels.txt: no such file (run stage 2 first, which dumps the front end ${front_end#features: })"
fi
use_folder "${exp}"
split_words "${train_args}" # sets `words`
[[ -z ${pretrained} ]] || words=(--pretrained "${pretrained}" ${words[@]+"${words[@]}"})
# with --force the command removes .done and the model, once the new training is ready to run
if [[ ${force} == true || " ${words[*]-} " == *" --force "* ]]; then
    words+=(--force)
elif [[ -e ${exp}/.done ]]; then
    # the command trains nothing then, but refuses a config that is not the experiment's, and warns of changed sets
    quietly python3 -m sed.bin.train --config "${conf}" ${words[@]+"${words[@]}"} "${dump}" "${exp}"
    grep -F 'trained before these sets' <<<"${said}" >&2 || true
    finished "${exp}: already done"
fi
launch=(python3 -m)
if ((ngpu > 1 || nodes > 1)); then
    launch=(python3 -m sed.bin.launch --nproc-per-node "$((ngpu > 0 ? ngpu : 1))")
    ((nodes > 1)) || launch+=(--standalone) # on several machines, utils/slurm_task.sh sets torchrun's PET_* variables
    launch+=(-m)
fi
"${cmd[@]}" --gpu "${ngpu}" --nodes "${nodes}" "${exp}/log/train.log" \
    "${launch[@]}" sed.bin.train --config "${conf}" ${words[@]+"${words[@]}"} "${dump}" "${exp}"
[[ -e ${exp}/.done ]] || die "${exp}: training ended without its mark .done (see ${exp}/log/train.log)"
