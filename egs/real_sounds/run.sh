#!/usr/bin/env bash
# CRNN, AST-GRU, AST-SED and what goes beyond, on recordings of your own, from a folder of sounds to RESULTS.md.
#
# usage: egs/real_sounds/run.sh --soundbank DIR [options]
#
# Stages: 0 corpus and pre-trained AST, 1 data directories, 2 features of both front ends, 3 the main systems, 4 the
# ablations and the configs beyond the paper, 5 scores and RESULTS.md. What is finished is skipped, what was killed
# goes on. An experiment is exp/<config>_seed<k>.
#
#   --soundbank DIR       recordings: {train,validation}/{foreground,background,distractor}/<label>/
#   --scale X             sizes and steps times this; 0.1 for a CPU (1.0)
#   --seeds LIST          seeds of every config ("1 2 3")
#   --systems LIST        what stage 3 trains, of conf/real_sounds/ ("crnn ast_gru ast_sed")
#   --more LIST           what stage 4 trains; none: nothing; there are ast_sed_second, ast_sed_pseudo and ast_sed_best too
#                         ("fte_only lgd_only ratio_2 ratio_5 ast_sed_frozen")
#   --boxes LIST          what is scored once more with change-detection bounding boxes, whose parameters are
#                         tuning/csebbs.json's where tune.sh has made it ("ast_gru ast_sed ast_sed_frozen ast_sed_best")
#   --rates LIST          learning rates head:encoder that each config is trained with, as exp/<config>_lr<h>_<e>_seed<k>,
#                         in place of the config's own: "1e-3:1e-4 3e-3:1e-4"
#   --jobs N              experiments at once (1)
#   --ngpu N              GPUs to spread them over; 0: the CPU, and a smaller AST (1)
#   --nj N                parallel jobs of stages 0 to 2 (4)
#   --stage N             first stage (0)
#   --stop-stage N        last stage (5)
#   --work DIR            where downloads, data, dump, exp and the results go (this folder; scale_X in it for another scale)
#   --pretrained FILE     the AST to start from (stage 0's; 'none': random weights, and no pre-training)
#   --pretrain-args ARGS  more options of sed.bin.pretrain, one string
#   --train-args ARGS     more options of sed.bin.train, one string
#   --public N            clips of a second test set (0)
#   --analysis BOOL       stage 5 also scores the first seed on the real-strong training clips, and draws the paper's
#                         figure 3 (true)
#   --force BOOL          redo of stages 2 to 5 what is finished (false)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
command="egs/real_sounds/run.sh${*:+ $(printf '%q ' "$@")}"
soundbank="" scale=1.0 seeds="1 2 3" systems="crnn ast_gru ast_sed" jobs=1 ngpu=1 nj=4 stage=0 stop_stage=5 work=""
more="fte_only lgd_only ratio_2 ratio_5 ast_sed_frozen"
boxes="ast_gru ast_sed ast_sed_frozen ast_sed_best" pretrained="" pretrain_args="" train_args="" rates="" public=0
analysis=true force=false
source "${here}/../../utils/parse_options.sh"
(($# == 0)) || usage
((nj > 0 && jobs > 0)) || die "--nj and --jobs are at least 1"
[[ ${scale} =~ ^[0-9]*\.?[0-9]+$ && ${scale} == *[1-9]* ]] || die "--scale ${scale}: a number above 0 is expected"
((stage > 0)) || [[ -d ${soundbank} ]] || die "--soundbank '${soundbank}': no such folder (a folder of recordings is needed)"
for list in systems more boxes; do [[ ${!list} != none ]] || printf -v "${list}" ''; done
for config in ${systems} ${more}; do
    [[ -f ${here}/../../conf/real_sounds/${config}.yaml ]] || die "${config}: no such config in conf/real_sounds/"
done
[[ -z ${soundbank} ]] || soundbank=$(cd "${soundbank}" && pwd)
[[ -z ${pretrained} || ${pretrained} == none ]] || pretrained=$(realpath -m "${pretrained}")
whole=$(awk -v x="${scale}" 'BEGIN { print x == 1 }')
[[ -n ${work} ]] || { ((whole)) && work=${here}; } || work=${here}/scale_${scale}
{ mkdir -p "${work}" && work=$(cd "${work}" && pwd); } || die "--work ${work}: cannot be made"
cd "${here}/../desed"
export SED_COMMAND=${SED_COMMAND:-${command% }} RUN_OWNER=$$
# shellcheck source=egs/desed/path.sh
source ./path.sh
# shellcheck source=egs/desed/cmd.sh
source ./cmd.sh
read -ra main <<<"${systems}"
read -ra further <<<"${more}"
pretraining="" # its process, beside stages 1 and 2
downloads=${work}/downloads data=${work}/data exp=${work}/exp

stage() { # stage <n> <what>: shall stage n run?
    ((stage <= $1 && $1 <= stop_stage)) || return 1
    [[ -z ${pretraining} ]] || kill -0 "${pretraining}" 2>/dev/null || wait "${pretraining}" || exit # it failed
    printf '%s stage %d: %s\n' "$(date +%FT%T)" "$1" "$2"
}
steps() { # steps <n>: at this scale
    awk -v n="$1" -v x="${scale}" 'BEGIN { n = int(n * x + 0.5); print n < 1 ? 1 : n }'
}
fewer() { # fewer <config>: options for a config's steps at this scale
    local conf=${here}/../../conf/real_sounds/$1.yaml
    echo "--steps-per-epoch $(steps "$(sed -n 's/^steps_per_epoch: //p' "${conf}")")" \
        "--warmup-steps $(steps "$(sed -n 's/^warmup_steps: //p' "${conf}")")"
}
((whole)) || train_args="$(fewer ast_sed) ${train_args}"
((whole || ngpu == 0)) || pretrain_args="$(fewer pretrain) ${pretrain_args}"
small="" # a model that a CPU can train
if ((ngpu == 0)); then
    small="--ast-dim 96 --ast-depth 2 --ast-heads 2 --ast-blocks 2 --stride-freq 16"
    pretrain_args="--steps-per-epoch $(steps 200) --warmup-steps $(steps 200) ${small} --patchout 0 --batch-size 16 ${pretrain_args}"
fi

list() { # list <train|score|boxes> <config...>: lines of steps/sweep.sh for each seed
    local/real_sounds_experiments.sh --seeds "${seeds}" --rates "${rates}" --small "${small}" \
        --pretrained "${pretrained}" --tuned "${here}/tuning/csebbs.json" "$1" "${work}" "${@:2}"
}
sweep() { # sweep <train|score> <name of the list> [option of steps/sweep.sh...]: its lines are read here
    # another run.sh in this folder has another list
    local own=${exp}/$2.tsv.$$
    mkdir -p "${exp}"
    trap 'rm -f "${exp}"/*.tsv.$$' EXIT
    cat >"${own}"
    [[ -s ${own} ]] || return 0
    steps/sweep.sh --cmd "${cuda_cmd}" --ngpu "${ngpu}" --jobs "${jobs}" --force "${force}" \
        --train-args "${train_args}" "${@:3}" "$1" "${own}" "${exp}"
}
those() { # those [-v] <pattern> <config...>: the configs that match, or do not
    local not=()
    [[ $1 != -v ]] || { not=(-v) && shift; }
    (($# > 1)) || return 0
    printf '%s\n' "${@:2}" | grep -E ${not[@]+"${not[@]}"} "$1" || true
}

if stage 0 "corpus and pre-trained AST"; then
    if [[ -z ${pretrained} ]]; then
        steps/pretrain.sh --cmd "${cuda_cmd}" --ngpu "${ngpu}" --pretrain-args "${pretrain_args}" \
            conf/real_sounds/pretrain.yaml "${soundbank}" "${downloads}/ast.pth" &
        pretraining=$! # on a GPU it goes on beside the corpus and stages 1 and 2, which want none
        ((ngpu > 0)) || wait "${pretraining}"
    fi
    local/real_sounds.sh --soundbank "${soundbank}" --scale "${scale}" --nj "${nj}" --public "${public}" "${downloads}"
fi
if stage 1 "data directories"; then
    local/prepare.sh --nj "${nj}" "${downloads}" "${data}"
fi
if stage 2 "features"; then
    for scp in "${data}"/*/wav.scp; do
        set=$(basename "$(dirname "${scp}")")
        steps/dump_features.sh --cmd "${train_cmd}" --nj "${nj}" --conf conf/logmel.yaml --force "${force}" \
            "${data}/${set}" "${work}/dump/${set}"
        [[ " ${systems} ${more} " != *' crnn'* ]] || steps/dump_features.sh --cmd "${train_cmd}" --nj "${nj}" \
            --conf conf/logmel_crnn.yaml --force "${force}" "${data}/${set}" "${work}/dump_crnn/${set}"
    done
fi
[[ -z ${pretraining} ]] || wait "${pretraining}"
if stage 3 "train the systems"; then
    list train ${main[@]+"${main[@]}"} | sweep train stage3
fi
if stage 4 "train the ablations, and what goes beyond"; then
    mapfile -t labelled < <(those '_pseudo$' ${further[@]+"${further[@]}"})
    mapfile -t best < <(those '_best$' ${further[@]+"${further[@]}"})
    mapfile -t others < <(those -v '_(pseudo|best)$' ${further[@]+"${further[@]}"})
    if ((${#labelled[@]} + ${#best[@]})); then
        labelling=()
        for seed in ${seeds}; do
            if ((${#labelling[@]} == jobs)); then
                wait "${labelling[0]}"
                labelling=("${labelling[@]:1}")
            fi
            steps/pseudo_label.sh --cmd "${cuda_cmd}" --ngpu "$((ngpu > 0))" --force "${force}" \
                "${exp}/ast_sed_seed${seed}" "${work}"/dump/{weak,unlabelled} "${work}/dump/pseudo_seed${seed}" &
            labelling+=($!)
        done
        for process in ${labelling[@]+"${labelling[@]}"}; do wait "${process}"; done
    fi
    list train ${labelled[@]+"${labelled[@]}"} ${others[@]+"${others[@]}"} | sweep train stage4
    list train ${best[@]+"${best[@]}"} | sweep train stage4_best # each starts from its seed's _pseudo
fi
if stage 5 "scores"; then
    read -ra boxed <<<"${boxes}"
    list score ${main[@]+"${main[@]}"} ${further[@]+"${further[@]}"} | sweep score stage5
    list boxes ${boxed[@]+"${boxed[@]}"} | sweep score stage5_boxes
    if [[ ${analysis} == true && -z ${rates} ]]; then # of the first seed
        seeds=${seeds%% *} list score ${main[@]+"${main[@]}"} | awk '{ print $0 "\t--bootstrap 0" }' |
            sweep score stage5_training --test-set strong_real
        gru=${exp}/ast_gru_seed${seeds%% *}
        [[ ! -e ${gru}/final.pt ]] || steps/figure3.sh --cmd "${cuda_cmd}" --ngpu "$((ngpu > 0))" --jobs "${jobs}" \
            --score-args "--no-report --bootstrap 0" --force "${force}" "${work}/dump/validation" "${gru}" "${exp}/figure3"
    fi
    local/real_sounds_report.sh --cmd "${cuda_cmd}" --ngpu "$((ngpu > 0))" --figure3 "${exp}/figure3" \
        --tagger "${pretrained:-${downloads}/ast.pth}" --sources "${downloads}/sources.json" \
        "${exp}" "${work}/dump" "${work}/results" "${work}/RESULTS.md"
fi
