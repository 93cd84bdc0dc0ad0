#!/usr/bin/env bash
# Write the table of all results below a folder, with the environment, commit and command of each, as .md, .csv and .tex.
# Print its main numbers, up to eight trained or imported models with their reports, and the command that uses the newest model.
#
# usage: steps/results.sh <exp> <RESULTS.md>
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder
root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cmd="" # for step.sh; nothing here is run as a job
source "${root}/utils/parse_options.sh"
(($# == 2)) || usage
source "${root}/utils/step.sh"

python3 -m sed.bin.results "$1" "$2"
printf '\n%s\n' "$(cd "$(dirname "$2")" && pwd)/$(basename "$2")"

exp=$(cd "$1" && pwd) listed=0 newest="" reports=0
for model in "${exp}"/*/{final.pt,model.json}; do
    [[ -e ${model} ]] || continue
    [[ ! ${newest} || ${model} -nt ${newest} ]] && newest=${model}
    ((listed++ < 8)) || continue
    printf '\nmodel   %s\n' "${model%/*}"
    for report in "${model%/*}"/*/report.html; do
        [[ -e ${report} ]] || continue
        printf 'report  %s\n' "${report}"
        reports=1
    done
done
[[ ${newest} ]] || exit 0
((listed <= 8)) || printf '\n... and %d more models in %s\n' $((listed - 8)) "${exp}"
((reports == 0)) || printf '\nA report has the scores of every label, what was missed or taken for what, and the worst and best clips.\n'
printf '\nTo detect sounds in other recordings (a file or a folder), and see them on a page:\n\n'
bin=$(dirname "$(command -v python3)")
[[ ! -f ${bin}/activate || ${VIRTUAL_ENV-} == "${bin%/*}" ]] || printf 'source %q\n' "${bin}/activate"
printf 'ast-sed predict --model %q --html page.html RECORDINGS\n' "${newest%/*}"
