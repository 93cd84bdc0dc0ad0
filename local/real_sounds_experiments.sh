#!/usr/bin/env bash
# What real_sounds trains and scores: a list for steps/sweep.sh, a line for each seed of each config.
#
# usage: local/real_sounds_experiments.sh [options] <train|score|boxes> <work> [<config>...]
#
#   --seeds LIST        seeds of every config ("1 2 3")
#   --rates LIST        learning rates head:encoder in place of the config's own, in the name too
#   --small ARGS        options of an AST that a CPU can train: the rest of the models is then as small
#   --pretrained FILE   the AST to start from (<work>/downloads/ast.pth; 'none': random weights)
#   --tuned FILE        for boxes: bounding boxes as steps/tune.sh tuned them, where the file is there
#
# To train, all are listed; to score, those that are trained. `boxes` are scores by change-detection bounding boxes.
# Second stages (_second, _best) go on from the seed's own model; _pseudo and _best train on its pseudo-labels.

set -euo pipefail

root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
seeds="1 2 3" rates="" small="" pretrained="" tuned=""
# shellcheck source=utils/parse_options.sh
source "${root}/utils/parse_options.sh"
(($# >= 2)) || usage
what=$1 work=$2 exp=$2/exp
[[ ${what} == train || ${what} == score || ${what} == boxes ]] || die "'${what}' is none of train, score, boxes"

started() { # started <config> <seed>: what it starts from
    case $1 in
        crnn*) ;;
        *_second) echo "--pretrained ${exp}/ast_sed_seed$2" ;;
        *_best) echo "--pretrained ${exp}/ast_sed_pseudo_seed$2" ;;
        *) [[ ${pretrained} == none ]] || echo "--pretrained ${pretrained:-${work}/downloads/ast.pth}" ;;
    esac
}
sized() { # sized <config>: of a CPU's models
    case $1 in
        *_pseudo | *_best) echo "--batch-sizes 2,2,2,2,2" ;;
        *) echo "--batch-sizes 2,2,2,2" ;;
    esac
    echo "--gru-units 64 --gru-layers 1"
    if [[ $1 == crnn* ]]; then echo "--crnn-width 0.5"; else echo "${small} --fte-blocks 1"; fi
}
options() { # options <config> <seed> <rate or own>: of sed.bin.train
    echo "--seed $2"
    [[ $1 != *_pseudo && $1 != *_best ]] || echo "--train-sets strong_real,strong_synth,pseudo_seed$2,weak,unlabelled"
    started "$1" "$2"
    [[ -z ${small} ]] || sized "$1"
    [[ $3 == own ]] || echo "--lr ${3%:*} --encoder-lr ${3#*:}"
}

boxes="--post-processing csebbs"
[[ ! -f ${tuned} ]] || boxes="--tuned ${tuned}"
for seed in ${seeds}; do
    for config in "${@:3}"; do
        dump=${work}/dump
        [[ ${config} != crnn* ]] || dump+=_crnn
        for rate in ${rates:-own}; do
            name=${config}_seed${seed}
            [[ ${rate} == own ]] || name=${config}_lr${rate/:/_}_seed${seed}
            line=conf/real_sounds/${config}.yaml$'\t'${dump}
            if [[ ${what} == train ]]; then
                printf '%s\t%s\t%s\n' "${name}" "${line}" "$(options "${config}" "${seed}" "${rate}" | paste -sd ' ')"
            elif [[ -e ${exp}/${name}/final.pt ]]; then
                if [[ ${what} == boxes ]]; then
                    printf '%s/csebbs\t%s\t%s\n' "${name}" "${line}" "${boxes}"
                else
                    printf '%s\t%s\n' "${name}" "${line}"
                fi
            fi
        done
    done
done
