#!/usr/bin/env bash
# Write the table of all results below a folder, with the environment, commit and command of each, as .md, .csv and .tex.
#
# usage: steps/results.sh <exp> <RESULTS.md>
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder
root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cmd=""
source "${root}/utils/parse_options.sh"
(($# == 2)) || usage
source "${root}/utils/step.sh"

python3 -m sed.bin.results "$1" "$2" >/dev/null
"${root}/utils/show_results.sh" "$2"
