#!/usr/bin/env bash
# The environment of the recipe; source it in the recipe's folder. The first time it makes .venv (utils/bootstrap.sh)
# where no active environment has the packages.

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
export LC_ALL=C PYTHONUTF8=1 # one order of sorting everywhere; names and texts are UTF-8 all the same
export PYTHONUNBUFFERED=1    # logs grow as things happen
