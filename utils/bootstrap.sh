#!/usr/bin/env bash
# Find or make a Python environment with the packages that setup.py requires; print the folder of its python3.
#
# usage: utils/bootstrap.sh [options]
#
#   --extras LIST   extras of setup.py that are also required, comma-separated, such as test,lint (none)
#
# It is the python3 on PATH, if that has all packages, else .venv of the repository, which is made or brought up to date by
# setup.py and constraints.txt. Nothing is installed outside .venv. This script may run several times at once and may be
# killed: .venv is used only if its marker, which is written last, has the checksum of the current requirements.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder
root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
extras=""
source "${root}/utils/parse_options.sh"
(($# == 0)) || usage

venv=${root}/.venv
marker=${venv}/.ready # checksum of the requirements, then the installed extras
gigabytes=9           # disk space of the packages, including the CUDA libraries that PyTorch depends on

say() {
    printf 'bootstrap.sh: %s\n' "$*" >&2
}

# python3 -c "${requirements}" <setup.py> <extras>: print the requirements, also of `recipe`, one per line. It is run with -I,
# as pip is, so that no module of the current folder or of PYTHONPATH is imported instead of Python's own.
requirements='
import ast, sys
path, extras = sys.argv[1], ["recipe", *(e for e in sys.argv[2].split(",") if e)]
call = next(n for n in ast.walk(ast.parse(open(path, encoding="utf-8").read()))
            if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "setup")
values = {k.arg: ast.literal_eval(k.value) for k in call.keywords if k.arg in ("install_requires", "extras_require")}
unknown = [e for e in extras if e not in values["extras_require"]]
if unknown:
    sys.exit("bootstrap.sh: setup.py has no extra " + unknown[0] + ", it has " + ", ".join(values["extras_require"]))
print("\n".join(values["install_requires"] + [r for e in extras for r in values["extras_require"][e]]))
'

# python3 -c "${check}" <requirement...>: exit with 0 if all are installed in matching versions, else print the first that
# is not. Reads only the packages' metadata, since importing torch takes seconds.
check='
import importlib.metadata, sys
if not (3, 11) <= sys.version_info[:2] <= (3, 13):
    sys.exit("Python %d.%d" % sys.version_info[:2])
try:
    from packaging.requirements import Requirement
except ImportError:
    sys.exit("packaging is missing")
found = {}
for text in sys.argv[1:]:
    wanted = Requirement(text)
    if wanted.marker and not wanted.marker.evaluate():
        continue  # for another platform
    try:
        found[wanted.name] = version = importlib.metadata.version(wanted.name)
    except importlib.metadata.PackageNotFoundError:
        sys.exit(f"{wanted.name} is missing")
    if not wanted.specifier.contains(version, prereleases=True):
        sys.exit(f"{wanted.name} {version} is not {wanted.specifier}")
if found["torch"].split(".")[:2] != found["torchaudio"].split(".")[:2]:
    sys.exit("torch and torchaudio differ")
'

# Packages whose compiled parts may fail to load, on a machine with other system libraries.
trial='
import torch, torchaudio, h5py, scipy, soundfile, soxr, psds_eval, sed_eval, sed_scores_eval, dcase_util
'

find_python() { # print a Python 3.11-3.13: python3 if it is one, else a numbered one on PATH
    local name found="" PATH=:${PATH}:
    PATH=${PATH//:"${venv}/bin":/:} PATH=${PATH#:} PATH=${PATH%:} # without the python of an active .venv, which install deletes
    for name in python3 python3.13 python3.12 python3.11; do
        command -v "${name}" >/dev/null || continue
        found+="${found:+, }$("${name}" --version 2>&1 | head -n 1)"
        if "${name}" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
            command -v "${name}"
            return
        fi
    done
    die "needs Python 3.11, 3.12 or 3.13, found: ${found:-none} (apt-get install python3 python3-venv python3-dev, or put one on PATH)"
}

check_system() { # check_system <python>: check for what pip needs but cannot install; messages say how to install it
    local version free
    version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    "$1" -c 'import venv, ensurepip' 2>/dev/null ||
        die "$1 has no venv module (apt-get install python${version}-venv)"
    "$1" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' ||
        die "$1 has no headers, and sed_scores_eval is compiled (apt-get install python${version}-dev)"
    command -v "${CC:-cc}" >/dev/null || command -v gcc >/dev/null ||
        die "no C compiler, and sed_scores_eval is compiled (apt-get install gcc libc6-dev)"
    command -v "${CXX:-c++}" >/dev/null || command -v g++ >/dev/null ||
        die "no C++ compiler, and sed_scores_eval is compiled (apt-get install g++; dnf install gcc-c++)"
    [[ -w ${root} ]] || die "${root} is not writable, and .venv belongs there (or activate an environment that has setup.py's packages)"
    free=$(df -Pk "${root}" | awk 'NR == 2 { print int($4 / 1048576) }')
    ((free >= gigabytes)) || [[ -d ${venv} ]] || # install deletes a .venv, which frees its space
        die "${root}: .venv takes ${gigabytes} GB, ${free} are free (free some, or activate an environment that has the packages)"
}

ready() { # is .venv complete, made from the current requirements, with the extras that were asked for?
    local sum installed extra
    [[ -f ${marker} ]] && "${venv}/bin/python3" -c '' 2>/dev/null || return 1
    read -r sum installed <"${marker}" || return 1
    [[ ${sum} == "$(checksum)" ]] || return 1
    for extra in ${extras//,/ }; do [[ ,${installed-}, == *,${extra},* ]] || return 1; done
}

checksum() { # print the checksum of the requirements
    cat "${root}/setup.py" "${root}/constraints.txt" | cksum | tr ' ' -
}

install() { # make .venv, or bring it up to date; the caller holds the lock
    local python="${venv}/bin/python3" base installed="" extra kept="" text listed
    if [[ -f ${marker} ]] && "${python}" -c '' 2>/dev/null; then
        read -r _ installed <"${marker}" || true
        say "bringing ${venv} up to date"
    else
        base=$(find_python)
        check_system "${base}"
        say "making ${venv} with $("${base}" --version), once: some minutes, ${gigabytes} GB"
        rm -rf "${venv}" # an unfinished one: what a killed pip leaves cannot be trusted
        "${base}" -m venv "${venv}" >&2 || die "${base} -m venv failed (see above)"
        mkdir -p "${venv}/bin"
    fi
    rm -f "${marker}"
    for extra in ${installed//,/ }; do # not those that another version of setup.py had, and this one lacks
        "${python}" -I -c "${requirements}" "${root}/setup.py" "${extra}" >/dev/null 2>&1 || continue
        kept+=${extra},
    done
    extras=$(tr , '\n' <<<"${kept}${extras}" | sed '/^$/d' | sort -u | paste -sd , -)
    text=$("${python}" -I -c "${requirements}" "${root}/setup.py" "${extras}")
    mapfile -t listed <<<"${text}"
    "${python}" -I -m pip install --no-user --disable-pip-version-check -c "${root}/constraints.txt" "${listed[@]}" >&2 ||
        die "pip failed (see above; the same command goes on from what it has downloaded)"
    "${python}" -I -W ignore -c "${trial}" >&2 || die "a package does not load (see above; rm -r ${venv} starts again)"
    printf '%s %s\n' "$(checksum)" "${extras}" >"${marker}.part"
    mv "${marker}.part" "${marker}"
    say "${venv} is ready"
}

# shellcheck disable=SC2016 # it is a script
command='#!/usr/bin/env bash
here=$(dirname "$(realpath "$0")")
PYTHONPATH="${here}/../..${PYTHONPATH:+:${PYTHONPATH}}" exec "${here}/python3" -m sed "$@"
'

add_command() { # add the command `ast-sed`, which runs this repository: .venv has only the packages that it depends on
    local file=${venv}/bin/ast-sed
    [[ ! -e ${file} && -w ${venv}/bin ]] || return 0
    printf '%s' "${command}" >"${file}.$$" && chmod +x "${file}.$$" && mv "${file}.$$" "${file}"
}

if command -v python3 >/dev/null && python3 -c '' 2>/dev/null; then # perhaps an active environment with all packages
    text=$(python3 -I -c "${requirements}" "${root}/setup.py" "${extras}") || exit 2
    mapfile -t listed <<<"${text}"
    if [[ $(command -v python3) != "${venv}"/* ]] && python3 -c "${check}" "${listed[@]}" 2>/dev/null; then
        python3 -c 'import os, sys; print(os.path.dirname(sys.executable))'
        exit 0
    fi
fi
if ! ready; then
    command -v flock >/dev/null || die "no flock (apt-get install util-linux)"
    exec {lock}<"${root}" # a lock of the folder itself needs no file; pip inherits it, and holds it if we are killed
    if ! flock -n "${lock}"; then
        say "waiting for another command that sets up ${venv}"
        flock "${lock}"
    fi
    ready || install
fi
add_command
printf '%s\n' "${venv}/bin"
