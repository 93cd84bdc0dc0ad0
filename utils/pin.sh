#!/usr/bin/env bash
# Write constraints.txt: the exact version of every package of a working environment, for others to have the same.
#
# usage: utils/pin.sh
#
# Run it in an environment whose tests pass (tests/run.sh), after setup.py changed or to move on to newer versions:
# rm -r .venv constraints.txt; tests/run.sh; utils/pin.sh
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # with it, cd prints where it went
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "${root}/utils/parse_options.sh"
(($# == 0)) || usage

bin=$("${root}/utils/bootstrap.sh" --extras test,lint)
part=${root}/.constraints.part
{
    echo "# What is installed, by utils/pin.sh; setup.py says what is allowed, and why. Tried on Python 3.11-3.13."
    # torch pins what it takes of CUDA itself, and other platforms have none of it; a version's +cu130 is the platform's
    "${bin}/python3" -m pip list --format freeze | grep -Ev '^(nvidia|cuda|triton|pip|ast-sed)' | sed 's/+[^+]*$//' |
        LC_ALL=C sort -f
} >"${part}"
mv "${part}" "${root}/constraints.txt"
printf '%s\n' "${root}/constraints.txt"
