#!/usr/bin/env bash
# Train, infer and score a list of configs, and show one table with the AST-SED paper's numbers beside ours.
#
# usage: steps/ablate.sh [options] <conf/x.yaml...> <dump> <exp>
#
#   --cmd CMD           script that runs the jobs: utils/run.sh here, utils/slurm.sh on a cluster (utils/run.sh)
#   --ngpu N            GPUs of each training; inference uses one; 0: the CPU (1)
#   --pretrained FILE   checkpoint that every training starts from, 'none': random weights (the config's; if it names none,
#                       an AST needs this option)
#   --reference FILE    config from which each row's differences are listed (conf/ast_sed.yaml)
#   --test-set SET      set of the dump to score on (validation)
#   --train-args ARGS   more options of sed.bin.train, one string
#   --infer-args ARGS   more options of sed.bin.infer, one string
#   --score-args ARGS   more options of sed.bin.score, one string
#   --force BOOL        redo what is finished (false)
#
# In egs/desed: steps/ablate.sh --pretrained downloads/ast.safetensors conf/ast_gru.yaml conf/ast_sed.yaml \
#     conf/ablation/*.yaml dump exp
#
# Each config becomes <exp>/<its name>; equivalent configs are trained once. Writes <exp>/ABLATIONS.md.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder
root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cmd=${root}/utils/run.sh ngpu=1 reference=${root}/conf/ast_sed.yaml test_set=validation
train_args="" pretrained="" infer_args="" score_args="" force=false
source "${root}/utils/parse_options.sh"
(($# >= 3)) || usage
exp=${*: -1} dump=${*: -2:1} configs=("${@:1:$#-2}")
exp=${exp%/} dump=${dump%/} asked_cmd=${cmd} # step.sh makes `cmd` an array; the steps below take the string
source "${root}/utils/step.sh"

declare -A contents=() # name of a config -> its content
for conf in "${configs[@]}"; do
    [[ -f ${conf} ]] || die "${conf}: no such config (the ablations are in conf/ablation/)"
    # with a colon, since the content may be empty, which bash refuses as a key
    name=$(basename "${conf}" .yaml) content=:$(python3 -m sed.bin.show_config "${conf}")
    [[ ${contents[${name}]-${content}} == "${content}" ]] ||
        die "${conf}: ${exp}/${name} is the experiment of another config called ${name}, too (rename one of them)"
    contents[${name}]=${content}
done
declare -A trained=() # content of a config -> name of the first config with it
pairs=()              # <config>=<its result.json>
number=0
for conf in "${configs[@]}"; do
    name=$(basename "${conf}" .yaml) number=$((number + 1))
    content=${contents[${name}]}
    if [[ -n ${trained[${content}]-} ]]; then
        say "${name} (${number} of ${#configs[@]}): the same as ${trained[${content}]}"
    else
        say "${name} (${number} of ${#configs[@]})"
        trained[${content}]=${name}
        "${root}/steps/train.sh" --cmd "${asked_cmd}" --ngpu "${ngpu}" --pretrained "${pretrained}" \
            --train-args "${train_args}" --force "${force}" "${conf}" "${dump}" "${exp}/${name}"
        "${root}/steps/infer.sh" --cmd "${asked_cmd}" --ngpu "${ngpu}" --infer-args "${infer_args}" --force "${force}" \
            "${dump}/${test_set}" "${exp}/${name}" "${exp}/${name}/${test_set}"
        "${root}/steps/score.sh" --cmd "${asked_cmd}" --score-args "${score_args}" --force "${force}" \
            "${dump}/${test_set}" "${exp}/${name}/${test_set}"
    fi
    pairs+=("${conf}=${exp}/${trained[${content}]}/${test_set}/result.json")
done
python3 -m sed.bin.ablations --reference "${reference}" --out "${exp}/ABLATIONS.md" "${pairs[@]}"
