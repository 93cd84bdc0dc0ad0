#!/usr/bin/env bash
# Tune run.sh's configs on the soundbank's training sources alone: regime of training and bounding boxes.
#
# usage: egs/real_sounds/tune.sh --soundbank DIR [options]
#
# Splits DIR's train sources in two, makes a corpus of each, pre-trains on the first, trains every system in several
# regimes, and writes those that did best on the second: tuning/rates.json, the CRNN's learning rates; tuning/regime.json, how
# long protocol A freezes the encoder of all AST systems, and how protocol B trains each. It then tunes the bounding
# boxes of each system on a set of its own of the second: tuning/csebbs/. Then write the rest into conf/real_sounds/.
#
#   --soundbank DIR      recordings, as run.sh's
#   --frozen LIST        epochs that the encoder is frozen for, with protocol A's clip pooling and rates ("0,6")
#   --poolings LIST      protocol B's clip poolings, with --own-frozen and --rates ("linear_softmax,attention")
#   --own-frozen LIST    protocol B's frozen epochs ("6")
#   --rates LIST         protocol B's rates of the encoder ("0.00005,0.0003")
#   --crnn-rates LIST    head:encoder of the CRNN ("3e-4:3e-4 1e-3:1e-3 3e-3:3e-3")
#   --systems LIST       what is tuned besides the CRNN ("ast_gru lgd_only fte_only ast_sed")
#   --share P            share of each label's recordings to validate on (0.25)
#   --seeds LIST         seeds of training (1)
#   --public N           clips that the boxes are tuned on (400)
#   --scale X            as run.sh's (1.0)
#   --jobs N             as run.sh's (1)
#   --ngpu N             as run.sh's (1)
#   --nj N               as run.sh's (4)
#   --pretrain-args ARGS as run.sh's
#   --train-args ARGS    as run.sh's
#   --work DIR           where all of it goes (tuning/work in this folder)
#   --out DIR            where the JSON files go (tuning in this folder)
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # with it, cd prints where it went
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
soundbank="" frozen="0,6" poolings="linear_softmax,attention" own_frozen="6" rates="0.00005,0.0003"
crnn_rates="3e-4:3e-4 1e-3:1e-3 3e-3:3e-3" systems="ast_gru lgd_only fte_only ast_sed" share=0.25 seeds=1 public=400 scale=1.0 jobs=1 ngpu=1 nj=4 pretrain_args="" train_args=""
work=${here}/tuning/work out=${here}/tuning
source "${here}/../../utils/parse_options.sh"
(($# == 0)) || usage
[[ -d ${soundbank} ]] || die "--soundbank '${soundbank}': no such folder (a folder of recordings is needed)"
soundbank=$(cd "${soundbank}" && pwd)
{ mkdir -p "${work}" "${out}" && work=$(cd "${work}" && pwd) && out=$(cd "${out}" && pwd); } ||
    die "${work}: cannot be made"
cd "${here}/../desed"
export RUN_OWNER=${RUN_OWNER:-$$} # what run.sh starts ends with this script
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
recipe 0 2
for n in 3 5; do
    recipe "${n}" "${n}" --systems crnn --rates "${crnn_rates}"
    recipe "${n}" "${n}" --systems "${systems}" --vary "frozen_epochs=${frozen}"
    recipe "${n}" "${n}" --systems "${systems}" \
        --vary "clip_pooling=${poolings} frozen_epochs=${own_frozen} encoder_lr=${rates}"
done
near=$(realpath --relative-to=. "${work}") # the files hold the commands that made them, without absolute paths
own=$(realpath --relative-to=. "${out}")
best=$(steps/choose_rates.sh --best crnn "${work}/results" "${out}/rates.json")
{
    [[ -z ${best} ]] || printf 'crnn\t%s_seed%s\n' "${best}" "${seeds%% *}"
    local/real_sounds_regime.sh "${work}/results" "${out}/regime.json"
} >"${work}/chosen.tsv"
mkdir -p "${out}/csebbs"
while IFS=$'\t' read -r config experiment <&3; do
    dump=${near}/dump/public_eval
    [[ ${config} != crnn ]] || dump=${near}/dump/logmel_crnn/public_eval
    steps/tune.sh --cmd "${cuda_cmd}" --ngpu "$((ngpu > 0))" "${dump}" "${near}/exp/${experiment}" "${own}/csebbs/${config}.json"
done 3<"${work}/chosen.tsv"
