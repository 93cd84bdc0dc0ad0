#!/usr/bin/env bash
# AST-GRU and AST-SED on TUT Sound Events 2017: 6 classes, 32 recordings of streets, which download whole.
#
# usage: egs/tut_sed/run.sh [options]
#
# Takes every option of egs/desed/run.sh. Defaults here: --work is the recipe's folder; --download is "local/tut_sed.sh",
# which has further options (--help): --archives, --mirror, --ast, --fold, --nj; they are given within it, such as
# "local/tut_sed.sh --fold 2"; --train-args is "--train-sets strong_real --batch-sizes 12", as all of the corpus's
# annotations are strong; --test-sets is "validation public_eval", the test recordings of the fold (1) and the
# corpus's evaluation set, in clips of 10 s. Published results are in egs/tut_sed/README.md.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export SED_COMMAND="egs/tut_sed/run.sh${*:+ $(printf '%q ' "$@")}"
export SED_COMMAND=${SED_COMMAND% } # stated in results
options_pass=${here}/../desed/run.sh
source "${here}/../../utils/parse_options.sh"

exec "${options_pass}" --work "${here}" --download local/tut_sed.sh \
    --train-args "--train-sets strong_real --batch-sizes 12" --test-sets "validation public_eval" \
    ${passed[@]+"${passed[@]}"} "$@"
