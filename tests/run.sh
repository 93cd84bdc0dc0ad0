#!/usr/bin/env bash
# Set up, then run the tests: pytest for sed/, bats for the scripts.
#
# usage: tests/run.sh [options] [<pytest argument>...]
#
#   --slow BOOL   also what takes longer than a few seconds (false)
#   --only WHAT   all, python or shell (all)
#
# Arguments go to pytest; after `--`, options too: tests/run.sh -- -k psds.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
slow=false only=all
source "${root}/utils/parse_options.sh"
[[ ${only} == all || ${only} == python || ${only} == shell ]] || die "--only is all, python or shell, not '${only}'"

bin=$("${root}/utils/bootstrap.sh" --extras test)
export PATH=${bin}:${PATH} PYTHONPATH=${root} PYTHONUTF8=1
cd "${root}"
failed=0

if [[ ${only} != shell ]]; then
    marked=()
    [[ ${slow} == true ]] || marked=(-m "not slow")
    python3 -m pytest "${marked[@]+"${marked[@]}"}" "$@" || failed=$?
fi
if [[ ${only} != python ]]; then
    command -v bats >/dev/null || die "no bats in ${bin} or on PATH, so the scripts go untested (rm -r .venv and start again, or apt-get install bats)"
    if [[ -t 1 ]]; then style=pretty; else style=tap; fi
    bats --formatter "${style}" tests/shell || failed=$?
    if tests/shell/slurm_node.sh check 2>/dev/null; then
        BACKEND=slurm bats --formatter "${style}" tests/shell/backend.bats || failed=$?
    else
        echo "Slurm's side of tests/shell/backend.bats: skipped, no Slurm answers here (tests/shell/slurm_node.sh start)"
    fi
fi
if ((failed)); then
    echo "tests/run.sh: something failed: see above" >&2
    exit 1
fi
echo "tests/run.sh: all passed"
