#!/usr/bin/env bats
# utils/bootstrap.sh, with a stand-in for python3 whose venv and pip only note in CALLS that they were called (pip with
# the last PIP_WORDS words of its command); all else is passed on to Python.

setup() {
    repo=${BATS_TEST_TMPDIR}/a\ repo
    mkdir -p "${repo}/utils" "${BATS_TEST_TMPDIR}/bin"
    cp "${BATS_TEST_DIRNAME}"/../../utils/{bootstrap,parse_options}.sh "${repo}/utils"
    printf '%s\n' 'from setuptools import setup' 'setup(name="x", install_requires=["torch>=2", "torchaudio>=2"],' \
        '      extras_require={"recipe": [], "test": ["pytest>=8"], "lint": ["shfmt-py"]})' >"${repo}/setup.py"
    printf 'torch==2.11.0\n' >"${repo}/constraints.txt"
    real=$(python3 -c 'import sys; print(getattr(sys, "_base_executable", sys.executable))')
    export CALLS=${BATS_TEST_TMPDIR}/calls
    cat >"${BATS_TEST_TMPDIR}/bin/python3" <<END
#!/usr/bin/env bash
arguments=("\$@")
[[ \$1 != -I ]] || shift
case "\$1 \$2" in
    '-m venv') mkdir -p "\$3/bin" && cp "\$0" "\$3/bin/python3" && echo venv >>"\${CALLS}" && exit ;;
    '-m pip')
        echo "pip \${*: -\${PIP_WORDS:-2}}" >>"\${CALLS}"
        sleep "\${PIP_SECONDS:-0}"
        exit "\${PIP_STATUS:-0}"
        ;;
esac
[[ "\$*" != *'import torch'* ]] || exit "\${TRIAL_STATUS:-0}"
exec '${real}' "\${arguments[@]}"
END
    printf '#!/bin/sh\necho; echo "d 0 0 99999999"\n' >"${BATS_TEST_TMPDIR}/bin/df"
    chmod +x "${BATS_TEST_TMPDIR}"/bin/*
    PATH=${BATS_TEST_TMPDIR}/bin:/usr/bin:/bin
    venv=${repo}/.venv
    export PIP_NO_INDEX=1 # should the real pip ever be reached
}

only() { # only <command...>: a PATH with these compilers and no other
    local place=${BATS_TEST_TMPDIR}/only name path
    mkdir -p "${place}"
    for path in /usr/bin/* /bin/*; do
        name=${path##*/}
        [[ ${name} =~ (^|-)(c\+\+|g\+\+|gcc|cc|clang)(-.*)?$ ]] || ln -sf "${path}" "${place}/${name}"
    done
    for name in "$@"; do ln -sf "$(command -v "${name}")" "${place}/${name}"; done
    printf '%s' "${BATS_TEST_TMPDIR}/bin:${place}"
}

bootstrap() {
    run "${repo}/utils/bootstrap.sh" "$@"
}

@test ".venv is made once, and the folder of its python3 printed" {
    bootstrap
    [[ ${status} == 0 && ${lines[-1]} == "${venv}/bin" ]]
    [[ $(<"${CALLS}") == $'venv\npip torch>=2 torchaudio>=2' ]]
    bootstrap
    [[ ${status} == 0 && ${output} == "${venv}/bin" && $(wc -l <"${CALLS}") == 2 ]]
}

@test ".venv has the command ast-sed, which runs the repository's code" {
    bootstrap
    mkdir "${repo}/sed" && : >"${repo}/sed/__init__.py"
    printf 'import sys\nprint(__file__, sys.argv[1:])\n' >"${repo}/sed/__main__.py"
    cd /
    run "${venv}/bin/ast-sed" predict 'a b.wav'
    [[ ${status} == 0 && ${output} == *"/a repo/"*"sed/__main__.py ['predict', 'a b.wav']" ]]
    rm "${venv}/bin/ast-sed"
    bootstrap # a .venv of an earlier version has no such command
    [[ -x ${venv}/bin/ast-sed && $(wc -l <"${CALLS}") == 2 ]]
}

@test "extras are added to an existing .venv, and kept" {
    bootstrap
    PIP_WORDS=1 bootstrap --extras test
    [[ ${status} == 0 && $(tail -n 1 "${CALLS}") == 'pip pytest>=8' ]]
    bootstrap
    [[ ${output} == "${venv}/bin" ]]
    PIP_WORDS=2 bootstrap --extras lint
    [[ $(tail -n 1 "${CALLS}") == 'pip shfmt-py pytest>=8' && $(grep -c venv "${CALLS}") == 1 ]]
    bootstrap --extras lint,test
    [[ ${output} == "${venv}/bin" ]]
}

@test "an extra that setup.py no longer has is dropped from an existing .venv" {
    bootstrap --extras lint,test
    sed -i 's/, "lint": .*\]}/}/' "${repo}/setup.py"
    PIP_WORDS=1 bootstrap
    [[ ${status} == 0 && $(tail -n 1 "${CALLS}") == 'pip pytest>=8' && $(grep -c venv "${CALLS}") == 1 ]]
    [[ $(<"${venv}/.ready") == *' test' ]]
}

@test "changed requirements bring it up to date" {
    bootstrap
    echo 'numpy==2.0' >>"${repo}/constraints.txt"
    bootstrap
    [[ ${status} == 0 && $(grep -c pip "${CALLS}") == 2 && $(grep -c venv "${CALLS}") == 1 ]]
}

@test "after a kill .venv is made from the start" {
    export PIP_SECONDS=20
    setsid "${repo}/utils/bootstrap.sh" >/dev/null 2>&1 3>&- &
    while ! grep -qs pip "${CALLS}"; do sleep 0.1; done
    touch "${venv}/half"
    kill -9 -- -$!
    PIP_SECONDS=0 bootstrap
    [[ ${status} == 0 && ! -e ${venv}/half && $(grep -c venv "${CALLS}") == 2 ]]
}

@test "of two at once, one works and the other waits" {
    export PIP_SECONDS=5
    "${repo}/utils/bootstrap.sh" >"${BATS_TEST_TMPDIR}/first" 2>/dev/null 3>&- &
    while ! grep -qs pip "${CALLS}"; do sleep 0.1; done
    bootstrap
    wait $!
    [[ ${status} == 0 && ${output} == *'waiting for another'* && ${lines[-1]} == "${venv}/bin" ]]
    [[ $(<"${BATS_TEST_TMPDIR}/first") == "${venv}/bin" && $(wc -l <"${CALLS}") == 2 ]]
}

@test "a failure of pip, or a package that does not load, leaves no marker" {
    PIP_STATUS=1 bootstrap
    [[ ${status} == 2 && ${output} == *'pip failed'* && ! -e ${venv}/.ready ]]
    TRIAL_STATUS=1 bootstrap
    [[ ${status} == 2 && ${output} == *'a package does not load'* && ! -e ${venv}/.ready ]]
    bootstrap
    [[ ${status} == 0 && -e ${venv}/.ready ]]
}

@test "an active .venv that a failed update has left unfinished is made again, not by its own python3" {
    bootstrap
    echo 'numpy==2.0' >>"${repo}/constraints.txt"
    export PATH=${venv}/bin:${PATH}
    PIP_STATUS=1 bootstrap
    [[ ${status} == 2 && ! -e ${venv}/.ready ]]
    bootstrap
    [[ ${status} == 0 && -e ${venv}/.ready ]]
}

@test "a missing compiler is named with its package before any download" {
    CXX=no-such-compiler PATH=$(only gcc cc) bootstrap
    [[ ${status} == 2 && ${output} == *'no C++ compiler'*'apt-get install g++'* && ! -e ${venv} ]]
}

@test "nothing is written outside .venv" {
    bootstrap
    [[ $(cd "${repo}" && find . -path ./.venv -prune -o -type f -print | sort | paste -sd ' ') == './constraints.txt ./setup.py ./utils/bootstrap.sh ./utils/parse_options.sh' ]]
}

@test "an active environment with all packages is used unchanged" {
    "${BATS_TEST_TMPDIR}/bin/python3" -c 'import packaging' || skip "no packaging for the stand-in"
    site=${BATS_TEST_TMPDIR}/site
    for package in torch torchaudio; do
        mkdir -p "${site}/${package}-2.11.0.dist-info"
        printf 'Metadata-Version: 2.1\nName: %s\nVersion: 2.11.0\n' "${package}" >"${site}/${package}-2.11.0.dist-info/METADATA"
    done
    export PYTHONPATH=${site}
    sed -i "s/install_requires=\[/&\"absent; platform_system == 'none'\", /" "${repo}/setup.py" # of another platform
    bootstrap
    [[ ${status} == 0 && ! -e ${venv} && ${#lines[@]} == 1 ]]
    sed -i 's/Version: 2.11.0/Version: 1.13.0/' "${site}"/torch-*/METADATA # too old: not taken
    bootstrap
    [[ ${status} == 0 && ${lines[-1]} == "${venv}/bin" ]]
}

@test "with a Python of another version, a fitting one is looked for, else the remedy is printed" {
    mv "${BATS_TEST_TMPDIR}/bin/python3" "${BATS_TEST_TMPDIR}/bin/python3.11"
    for name in python3 python3.12 python3.13; do
        printf '#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.14.0" && exit\nexit 1\n' >"${BATS_TEST_TMPDIR}/bin/${name}"
        chmod +x "${BATS_TEST_TMPDIR}/bin/${name}"
    done
    bootstrap
    [[ ${status} == 0 && $(<"${CALLS}") == $'venv\npip torch>=2 torchaudio>=2' ]]
    cp "${BATS_TEST_TMPDIR}/bin/python3" "${BATS_TEST_TMPDIR}/bin/python3.11"
    rm -rf "${venv}"
    bootstrap
    [[ ${status} == 2 && ${lines[-1]} == *'needs Python 3.11, 3.12 or 3.13, found: Python 3.14.0'*'apt-get install'* ]]
}

@test "a full disk is reported before any download" {
    printf '#!/bin/sh\necho; echo "d 0 0 1048576"\n' >"${BATS_TEST_TMPDIR}/bin/df"
    bootstrap
    [[ ${status} == 2 && ${lines[-1]} == *'1 are free'* && ! -e ${CALLS} ]]
}

@test "an extra that setup.py does not have is refused" {
    bootstrap --extras nope
    [[ ${status} == 2 && ${output} == 'bootstrap.sh: setup.py has no extra nope, it has recipe, test, lint' ]]
}
