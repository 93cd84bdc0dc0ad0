#!/usr/bin/env bash
# AST-GRU and AST-SED on URBAN-SED: 10 classes, 10,000 soundscapes, which download whole.
#
# usage: egs/urban_sed/run.sh [options]
#
# Takes every option of egs/desed/run.sh. Defaults here: --work is the recipe's folder; --download is
# "local/urban_sed.sh", which has further options (--help): --archives, --mirror, --ast, --annotations, --nj; --train-args is
# "--train-sets strong_real --batch-sizes 12", as all of its annotations are strong (12: clips per batch, as many as all
# sets have in conf/ast_sed.yaml); --test-sets is "validation public_eval", its validation and its test split. Published
# results are in README.md.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export SED_COMMAND="egs/urban_sed/run.sh${*:+ $(printf '%q ' "$@")}"
export SED_COMMAND=${SED_COMMAND% } # stated in results
options_pass=${here}/../desed/run.sh
source "${here}/../../utils/parse_options.sh"

exec "${options_pass}" --work "${here}" --download local/urban_sed.sh \
    --train-args "--train-sets strong_real --batch-sizes 12" --test-sets "validation public_eval" \
    ${passed[@]+"${passed[@]}"} "$@"
