#!/usr/bin/env bash
# Choose learning rates, training regimes and settings of cSEBBs (change-detection-based sound event bounding boxes, a
# post-processing) for run.sh, on training sources only.
#
# usage: egs/real_sounds/tune.sh --soundbank DIR [options]
#
# Protocol A trains all AST systems alike: with the AST-SED paper's clip pooling and ratio of learning rates, and the number of
# epochs with a frozen encoder that is best for them on average. Protocol B trains each in the regime (clip pooling, frozen epochs,
# learning rates) that is best for it (RESULTS.md).
#
# Splits DIR's training sources into two parts, and mixes training clips from the first, validation clips from the second.
# Pre-trains the encoders once, trains the CRNN with several pairs of learning rates and each AST system in several regimes,
# and writes those with the highest PSDS1, averaged over seeds: tuning/rates.json, the CRNN's learning rates;
# tuning/regime.json, the regimes of both protocols. It then tunes the bounding boxes (cSEBBs) of the CRNN with
# these rates and of each AST system in the regime of each protocol, all with the first seed, on a further set mixed from the
# second part: tuning/csebbs/.
# The chosen rates and regimes are then to be written into conf/real_sounds/ by hand. The values that are tried, the defaults
# below, were chosen by hand.
#
#   --soundbank DIR      recordings, as in run.sh
#   --frozen LIST        protocol A's numbers of epochs with a frozen encoder ("0,6")
#   --poolings LIST      protocol B's clip poolings ("linear_softmax,attention")
#   --own-frozen LIST    protocol B's numbers of epochs with a frozen encoder ("6")
#   --rates LIST         protocol B's learning rates of the encoder ("0.00005,0.0003")
#   --crnn-rates LIST    learning rates head:encoder of the CRNN ("3e-4:3e-4 1e-3:1e-3 3e-3:3e-3")
#   --systems LIST       AST systems to tune, some or all of the default's ("ast_gru lgd_only fte_only ast_sed")
#   --share P            share of each label's recordings to validate on (0.25)
#   --seeds LIST         seeds of training (1)
#   --public N           number of clips that the boxes are tuned on, which run.sh makes as its set public_eval (400)
#   --scale X            as in run.sh (1.0)
#   --jobs N             as in run.sh (1)
#   --ngpu N             as in run.sh (1)
#   --nj N               as in run.sh (4)
#   --pretrain-args ARGS as in run.sh
#   --train-args ARGS    as in run.sh
#   --work DIR           folder of corpora and experiments (tuning/work in the recipe's folder)
#   --out DIR            folder of the JSON files (tuning in the recipe's folder)
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
soundbank="" frozen="0,6" poolings="linear_softmax,attention" own_frozen="6" rates="0.00005,0.0003"
crnn_rates="3e-4:3e-4 1e-3:1e-3 3e-3:3e-3" systems="ast_gru lgd_only fte_only ast_sed" share=0.25 seeds=1 public=400 scale=1.0 jobs=1 ngpu=1 nj=4 pretrain_args="" train_args=""
work=${here}/tuning/work out=${here}/tuning
source "${here}/../../utils/parse_options.sh"
(($# == 0)) || usage
[[ -d ${soundbank} ]] || die "--soundbank '${soundbank}': no such folder (a folder of recordings is needed)"
((public > 0)) || die "--public is at least 1, not ${public}: the boxes are tuned on these clips"
soundbank=$(cd "${soundbank}" && pwd)
{ mkdir -p "${work}" "${out}" && work=$(cd "${work}" && pwd) && out=$(cd "${out}" && pwd); } ||
    die "${work} or ${out}: cannot be made (see above)"
cd "${here}/../desed"             # for its path.sh, cmd.sh and links, as in run.sh
export RUN_OWNER=${RUN_OWNER:-$$} # processes that run.sh starts end with this script
# shellcheck source=egs/desed/path.sh
source ./path.sh
# shellcheck source=egs/desed/cmd.sh
source ./cmd.sh

steps/split_soundbank.sh --share "${share}" "${soundbank}" "${work}/soundbank"
recipe() { # recipe <stage> <last stage> <options of run.sh...>
    "${here}/run.sh" --soundbank "${work}/soundbank" --work "${work}" --scale "${scale}" --jobs "${jobs}" --ngpu "${ngpu}" \
        --nj "${nj}" --seeds "${seeds}" --more none --boxes none --public "${public}" --stage "$1" --stop-stage "$2" \
        ${pretrain_args:+--pretrain-args "${pretrain_args}"} ${train_args:+--train-args "${train_args}"} "${@:3}"
}
recipe 0 2 --systems "crnn ${systems}" # corpus, pre-training and features; an unknown system is refused before any of them
for n in 3 5; do                       # train; score
    recipe "${n}" "${n}" --systems crnn --rates "${crnn_rates}"
    recipe "${n}" "${n}" --systems "${systems}" --vary "frozen_epochs=${frozen}"
    recipe "${n}" "${n}" --systems "${systems}" \
        --vary "clip_pooling=${poolings} frozen_epochs=${own_frozen} encoder_lr=${rates}"
done
# relative paths, since csebbs/*.json record the command that wrote them
relative_work=$(realpath --relative-to=. "${work}")
relative_out=$(realpath --relative-to=. "${out}")
best=$(steps/choose_rates.sh --best crnn "${work}/results" "${out}/rates.json")
{
    [[ -z ${best} ]] || printf 'crnn\t%s_seed%s\n' "${best}" "${seeds%% *}"
    local/real_sounds_regime.sh "${work}/results" "${out}/regime.json"
} >"${work}/chosen.tsv"
mkdir -p "${out}/csebbs"
while IFS=$'\t' read -r config experiment <&3; do # not from stdin, which the commands below could read
    dump=${relative_work}/dump/public_eval
    [[ ${config} != crnn ]] || dump=${relative_work}/dump/logmel_crnn/public_eval
    steps/tune.sh --cmd "${cuda_cmd}" --ngpu "$((ngpu > 0))" "${dump}" "${relative_work}/exp/${experiment}" \
        "${relative_out}/csebbs/${config}.json"
done 3<"${work}/chosen.tsv"
