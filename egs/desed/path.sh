#!/usr/bin/env bash
# The environment of the recipe; source it in the recipe's folder. If no active environment has the packages, the first
# run makes .venv (utils/bootstrap.sh).

for link in local steps utils conf; do
    if [[ $(readlink "${link}") != "../../${link}" || ! -d ${link} ]]; then
        printf 'path.sh: %s/%s is not a symlink to ../../%s (git config core.symlinks true; git checkout -- %s)\n' \
            "${PWD}" "${link}" "${link}" "${link}" >&2
        exit 2
    fi
done
root=$(cd ../.. && pwd)
bin=$(utils/bootstrap.sh) || exit 2
[[ $(dirname "$(command -v python3)") == "${bin}" ]] || export PATH=${bin}:${PATH}
export PYTHONPATH=${root}${PYTHONPATH:+:${PYTHONPATH}}
export LC_ALL=C PYTHONUTF8=1 # the same sorting order everywhere; names and texts stay UTF-8
export PYTHONUNBUFFERED=1    # log files are written without delay
