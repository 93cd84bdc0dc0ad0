#!/usr/bin/env bash
# CRNN, AST-GRU, AST-SED and further systems on your own sounds, from a folder of recordings to RESULTS.md.
#
# usage: egs/real_sounds/run.sh --soundbank DIR [options]
#
# Stages: 0 corpus and pre-trained encoders, 1 data directories, 2 features, 3 main systems, 4 further configs, 5 scores and
# RESULTS.md. Finished work is skipped, killed work is resumed. An experiment is exp/<config>_seed<k>. The word none is an empty LIST of configs.
#
#   --soundbank DIR       recordings: {train,validation}/foreground/<label>/ of the labels to detect and, if any, {background,distractor}/<any name>/ beside foreground/ (docs/beyond.md)
#   --scale X             factor of the corpus's size and of training steps; 0.1 for a CPU (1.0)
#   --seeds LIST          seeds of every config ("1 2 3")
#   --systems LIST        configs of conf/real_sounds/ that stage 3 trains ("crnn ast_gru fte_only lgd_only ast_sed")
#   --more LIST           configs of conf/real_sounds/ that stage 4 trains ("ratio_2 ratio_5")
#   --boxes LIST          configs also scored with bounding boxes (cSEBBs), with tune.sh's settings if they are for the same labels, else the defaults of cSEBBs (those of crnn, ast_gru, fte_only, lgd_only and ast_sed that are in --systems or --more)
#   --rates LIST          pairs head:encoder of learning rates instead of the config's, in exp/<config>_lr<h>_<e>_seed<k>
#   --vary LIST           KEY=VALUE,VALUE...: train all combinations, in exp/<config>_<key>_<value>_seed<k> (a value that the config has is left out of the name)
#   --jobs N              experiments that run at the same time (1)
#   --ngpu N              GPUs that the experiments share; 0: the CPU, with smaller models (1)
#   --nj N                parallel jobs of stages 0 to 2 (4)
#   --stage N             first stage (0)
#   --stop-stage N        last stage (5)
#   --work DIR            folder of downloads, data, dump, exp and results (the recipe's folder; its scale_X with --scale X)
#   --pretrained FILE     checkpoint of the AST, 'none': random weights; stage 0 then pre-trains no encoder (it pre-trains an AST, and the encoders that the configs of --systems and --more name)
#   --pretrain-args ARGS  more options of sed.bin.pretrain, one string
#   --train-args ARGS     more options of sed.bin.train, one string
#   --public N            clips of a second test set, public_eval (0)
#   --analysis BOOL       without --rates and --vary, stage 5 also scores the first seed on training clips, and draws the paper's figure 3 (true)
#   --force BOOL          repeat finished pre-training of stage 0 and finished work of stages 2 to 5 (false)
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
command="egs/real_sounds/run.sh${*:+ $(printf '%q ' "$@")}"
soundbank="" scale=1.0 seeds="1 2 3" systems="crnn ast_gru fte_only lgd_only ast_sed" jobs=1 ngpu=1 nj=4 stage=0 stop_stage=5 work="" public=0
more="ratio_2 ratio_5" boxes="" pretrained="" pretrain_args="" train_args="" rates="" vary="" analysis=true force=false
source "${here}/../../utils/parse_options.sh"
(($# == 0)) || usage
((nj > 0 && jobs > 0 && stage <= stop_stage && stage <= 5)) || die "--nj and --jobs are at least 1, --stage is at most --stop-stage and 5"
[[ ${scale} =~ ^[0-9]*\.?[0-9]+$ && ${scale} == *[1-9]* ]] || die "--scale ${scale}: a number above 0 is expected"
((stage > 0)) || [[ -d ${soundbank} ]] || die "--soundbank '${soundbank}': no such folder (a folder of recordings is needed)"
for list in systems more; do [[ ${!list} != none ]] || printf -v "${list}" ''; done
[[ -n ${work} || ${scale} =~ ^0*1(\.0*)?$ ]] || work=${here}/scale_${scale}
work=$(realpath -m "${work:-${here}}") soundbank=${soundbank:+$(realpath -m "${soundbank}")}
[[ -z ${pretrained} || ${pretrained} == none ]] || { ((stage > 0)) || [[ -e ${pretrained} ]] || die "--pretrained '${pretrained}': no such file (give a checkpoint, or none)" && pretrained=$(realpath -m "${pretrained}"); }
cd "${here}/../desed"                                                      # for its path.sh, cmd.sh and links
export SED_COMMAND=${SED_COMMAND:-${command% }} RUN_OWNER=${RUN_OWNER:-$$} # stated in results; all jobs end with this process
source "${here}/../desed/path.sh"
source "${here}/../desed/cmd.sh"
downloads=${work}/downloads dump=${work}/dump exp=${work}/exp tuned=${here}/tuning/csebbs pretraining="" checkpoints=$([[ ${pretrained} ]] || echo "${work}/downloads") # checkpoints: encoders of stage 0
train_args="--step-scale ${scale} ${train_args}" pretrain_args="--step-scale ${scale} ${pretrain_args}"
small="--cnn-width 0.5 --ast-dim 96 --ast-depth 2 --ast-heads 2 --ast-blocks 2 --stride-freq 16" # models that a CPU can train
((ngpu > 0)) || train_args="${small} --fte-blocks 1 --gru-units 64 --gru-layers 1 --batch-sizes 2 ${train_args}"
((ngpu > 0)) || pretrain_args="--steps-per-epoch 200 --warmup-steps 200 ${small} --patchout 0 --batch-size 16 ${pretrain_args}"
stage() { # stage <n> <title>: true if stage n is to run; prints its start
    ((stage <= $1 && $1 <= stop_stage)) || return 1
    [[ -z ${pretraining} ]] || kill -0 "${pretraining}" 2>/dev/null || wait "${pretraining}" || exit # it ended, and failed
    printf '%s stage %d: %s\n' "$(date +%FT%T)" "$1" "$2"
}
list() { # list <what> <configs> [<option>...]: print this list of steps/experiments.sh
    split_words "$2"
    steps/experiments.sh --dump "${dump}" --exp "${exp}" --conf-dirs conf/real_sounds --seeds "${seeds}" --rates "${rates}" --vary "${vary}" \
        --pretrained "${pretrained:-${downloads}/ast.pth}" --checkpoints "${checkpoints}" "${@:3}" "$1" ${words[@]+"${words[@]}"}
}
sweep() { # sweep <what> [<option>...]: run steps/sweep.sh on a list from standard input; if stage 5 is to run, each system is scored once it is trained, while others train
    steps/sweep.sh --cmd "${cuda_cmd}" --ngpu "${ngpu}" --jobs "${jobs}" --force "${force}" --train-args "${train_args}" \
        --score "$( ((stop_stage >= 5)) && echo true || echo false)" "$@" - "${exp}"
}
fits() { # fits <file>: are its bounding boxes of this corpus's labels? The repository's own may be of others
    [[ -f $1 ]] && cmp -s <(sed -n '/^ "csebbs": {/,/^ }/s/^  "\(.*\)": {.*/\1/p' "$1" | sort) <(cat "${dump}"/{,*/}labels.txt 2>/dev/null | sort -u)
}
front_ends=$(list score "${boxes#none}" >/dev/null && list features "pretrain ${systems} ${more}") # an unknown name is refused before any work; pretrain: stage 5 tags by the AST's features, even if no system has them
if stage 0 "corpus and pre-trained encoders"; then
    if [[ -z ${pretrained} ]]; then
        { printf 'ast\tconf/real_sounds/pretrain.yaml\t%s/ast.pth\n' "${downloads}" && list pretrain "${systems} ${more}"; } |
            sweep pretrain --soundbank "${soundbank}" --pretrain-args "${pretrain_args}" &
        pretraining=$! # on a GPU it runs during the rest of stage 0 and stages 1 and 2, which use the CPU
        ((ngpu > 0)) || wait "${pretraining}"
    fi
    local/real_sounds.sh --soundbank "${soundbank}" --scale "${scale}" --nj "${nj}" --public "${public}" --results "${work}/results" "${downloads}"
fi
if stage 1 "data directories"; then local/prepare.sh --nj "${nj}" "${downloads}" "${work}/data"; fi
if stage 2 "features"; then steps/dump_sets.sh --cmd "${train_cmd}" --nj "${nj}" --force "${force}" "${work}/data" - <<<"${front_ends}"; fi
[[ -z ${pretraining} ]] || wait "${pretraining}"
if stage 3 "train the systems"; then list train "${systems}" | sweep train; fi
if stage 4 "train further configs"; then for what in label train; do list "${what}" "${more}" | sweep "${what}"; done; fi # label: predict pseudo-labels that some are trained on
if stage 5 "scores"; then
    list score "${systems} ${more}" | sweep score
    [[ ${boxes} == none ]] || for config in ${boxes:-$(grep -oxE 'crnn|ast_gru|fte_only|lgd_only|ast_sed' <<<"${systems// /$'\n'}"$'\n'"${more// /$'\n'}")}; do
        list score "${config}" --folder csebbs --score-args "$(fits "${tuned}/${config}.json" && echo "--tuned $(quoted "${tuned}/${config}.json")" || echo "--post-processing csebbs")"
    done | sweep score
    if [[ ${analysis} == true && -z ${rates}${vary} ]]; then # for the first seed; strong_real: training clips
        seeds=${seeds%% *} list score "${systems}" --score-args "--bootstrap 0" | sweep score --test-set strong_real
        gru=${exp}/ast_gru_seed${seeds%% *}
        [[ ! -e ${gru}/final.pt ]] || steps/figure3.sh --cmd "${cuda_cmd}" --ngpu "$((ngpu > 0))" --jobs "${jobs}" \
            --score-args "--no-report --bootstrap 0" --force "${force}" "${dump}/validation" "${gru}" "${exp}/figure3"
    fi
    local/real_sounds_report.sh --cmd "${cuda_cmd}" --ngpu "$((ngpu > 0))" --figure3 "${exp}/figure3" \
        --tagger "${pretrained:-${downloads}/ast.pth}" --sources "${downloads}/sources.json" "${exp}" "${dump}" "${work}/results" "${work}/RESULTS.md"
fi
