#!/usr/bin/env bash
# AST-GRU and AST-SED on RealDESED: 15 classes, 5710 openly licensed recordings, none of them lost; scored as by its authors.
#
# usage: egs/realdesed/run.sh [options]
#
# Takes every option of egs/desed/run.sh. Defaults here: --work is the recipe's folder; --download is
# "local/realdesed.sh --aggregation weighted --hop 5 --only-annotated true" (its --help has more: --archives, --mirror,
# --ast, --alpha, --reviewed): soft labels weighted by the annotators' agreement, and scores of whole recordings,
# without those that nobody annotated; --train-args is "--train-sets strong_real --batch-sizes 12", as all of its
# annotations are strong (12: clips per batch, as many as all sets have in conf/ast_sed.yaml); --test-sets is
# "validation public_eval", its validation and its test split; --score-args has its authors' median filter, pAUROC and
# second PSDS.
# README.md has the protocol, and what differs here.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export SED_COMMAND="egs/realdesed/run.sh${*:+ $(printf '%q ' "$@")}"
export SED_COMMAND=${SED_COMMAND% } # stated in results
options_pass=${here}/../desed/run.sh
source "${here}/../../utils/parse_options.sh"

exec "${options_pass}" --work "${here}" --download "local/realdesed.sh --aggregation weighted --hop 5 --only-annotated true" \
    --train-args "--train-sets strong_real --batch-sizes 12" --test-sets "validation public_eval" \
    --score-args "--post-processing median --median 0.36 --scores mpauc --dtc 0.1 --gtc 0.1 --alpha-st 0" \
    ${passed[@]+"${passed[@]}"} "$@"
