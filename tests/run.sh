#!/usr/bin/env bash
# Set up, then run the tests: pytest for sed/, bats for the scripts.
#
# usage: tests/run.sh [options] [<pytest argument>...]
#
#   --thorough BOOL  also tests of 0.6 s or more, as .ci/run does (false)
#   --slow BOOL      all tests: also those that take still longer, and every campaign (false)
#   --only WHAT      all, python or shell (all)
#   --campaign NAME  only the campaign of this name (CONTRIBUTING.md says what each tries): flips, kills, at_once, newest, fuzz, paths, servers, watch, trackers, pyav
#
# Arguments go to pytest; after `--`, options too: tests/run.sh -- -k psds. Unless `--only python` is given, the
# shell tests run as well.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
thorough=false slow=false only=all campaign=
source "${root}/utils/parse_options.sh"
[[ ${only} == all || ${only} == python || ${only} == shell ]] || die "--only is all, python or shell, not '${only}'"

bin=$("${root}/utils/bootstrap.sh" --extras test)
export PATH=${bin}:${PATH} PYTHONPATH=${root} PYTHONUTF8=1
cd "${root}"
failed=0

if [[ -n ${campaign} ]]; then
    file=tests/campaigns/test_${campaign}.py
    [[ -f ${file} ]] || die "--campaign ${campaign}: no such campaign (see --help)"
    OMP_NUM_THREADS=1 exec python3 -m pytest -n auto -m campaign -rP "${file}" "$@"
fi

if [[ ${only} != shell ]]; then
    marked=(-m "not slow and not thorough")
    [[ ${thorough} == false ]] || marked=(-m "not slow")
    [[ ${slow} == false ]] || marked=()
    # a process per core, each with one thread; a file's tests run in one process, so that they share their fixtures
    OMP_NUM_THREADS=1 python3 -m pytest -n auto --dist loadfile "${marked[@]+"${marked[@]}"}" "$@" || failed=$?
fi
if [[ ${only} != python ]]; then
    command -v bats >/dev/null || die "no bats in ${bin} or on PATH, so the scripts go untested (rm -r .venv and start again, or apt-get install bats)"
    if [[ -t 1 ]]; then style=pretty; else style=tap; fi
    marked=() cluster=false
    [[ ${slow} == true ]] || marked=(--filter-tags '!slow')
    tap() { bats --formatter "${style}" "${marked[@]+"${marked[@]}"}" "$@"; }
    if (PATH=${PATH}:/usr/sbin hash slurmctld munged sbatch) 2>/dev/null; then # a cluster of our own
        SLURM_NODE=$(mktemp -d)                                                # removed by `stop`
        export SLURM_NODE
        trap 'tests/shell/slurm_node.sh stop' EXIT
        if tests/shell/slurm_node.sh start; then cluster=true && export SLURM_CONF=${SLURM_NODE}/slurm.conf; else failed=1; fi
    else
        echo "utils/slurm.sh: not tested against a Slurm, none is installed (apt-get install slurm-wlm munge)"
    fi
    on_slurm() {
        local code=0
        [[ ${cluster} == false ]] || BACKEND=slurm bats --formatter "${style}" tests/shell/backend.bats || code=$?
        tap tests/shell/slurm*.bats || code=$?
        return "${code}"
    }
    # Tests on Slurm wait for most of their time, so the others run meanwhile; the former's output follows the latter's.
    others=()
    for file in tests/shell/*.bats; do [[ ${file} == */slurm* ]] || others+=("${file}"); done
    output=$(mktemp)
    on_slurm >"${output}" 2>&1 &
    tap "${others[@]}" || failed=$?
    wait $! || failed=$?
    cat "${output}"
    rm -f "${output}"
fi
if ((failed)); then
    echo "tests/run.sh: something failed: see above" >&2
    exit 1
fi
echo "tests/run.sh: all passed"
