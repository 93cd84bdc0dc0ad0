#!/usr/bin/env bash
# What run.sh's configs hold of tuning, from the soundbank's training sources alone: learning rates and bounding boxes.
#
# usage: egs/real_sounds/tune.sh --soundbank DIR [options]
#
# Splits DIR's train sources in two, makes a corpus of each, pre-trains on the first, trains every system with every
# pair of learning rates, and writes tuning/rates.json: what did best on the second. With the best AST-SED it then tunes
# the bounding boxes on a set of its own of the second: tuning/csebbs.json. Then write the rates into conf/real_sounds/.
#
#   --soundbank DIR      recordings, as run.sh's
#   --rates LIST         head:encoder of the AST's systems ("3e-4:3e-5 3e-4:1e-4 1e-3:3e-5 1e-3:1e-4 1e-3:3e-4 3e-3:1e-4")
#   --crnn-rates LIST    of the CRNN ("3e-4:3e-4 1e-3:1e-3 3e-3:3e-3")
#   --systems LIST       what is tuned besides the CRNN ("ast_gru ast_sed")
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
#   --out DIR            where the two JSON files go (tuning in this folder)
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # with it, cd prints where it went
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
soundbank="" rates="3e-4:3e-5 3e-4:1e-4 1e-3:3e-5 1e-3:1e-4 1e-3:3e-4 3e-3:1e-4" crnn_rates="3e-4:3e-4 1e-3:1e-3 3e-3:3e-3"
systems="ast_gru ast_sed" share=0.25 seeds=1 public=400 scale=1.0 jobs=1 ngpu=1 nj=4 pretrain_args="" train_args=""
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
    recipe "${n}" "${n}" --systems "${systems}" --rates "${rates}"
done
best=$(steps/choose_rates.sh --best ast_sed "${work}/results" "${out}/rates.json")
if [[ -n ${best} ]]; then
    near=$(realpath --relative-to=. "${work}") # the file says how it was made, in any place
    steps/tune.sh --cmd "${cuda_cmd}" --ngpu "$((ngpu > 0))" "${near}/dump/public_eval" \
        "${near}/exp/${best}_seed${seeds%% *}" "$(realpath --relative-to=. "${out}")/csebbs.json"
fi
