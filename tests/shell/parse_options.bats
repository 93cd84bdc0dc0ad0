#!/usr/bin/env bats
# utils/parse_options.sh: spellings, types, help, and refused options.

setup() {
    cat >"${BATS_TEST_TMPDIR}/verb.sh" <<END
#!/usr/bin/env bash
# Does a thing.
#
# usage: verb.sh [options] <in> <out>
#
#   --nj N              jobs (4)
#   --train-args ARGS   passed on
#   --conf FILE         a config
#   --force BOOL        again (false)

set -euo pipefail
nj=4 train_args="" conf=a.yaml force=false undocumented=1
source "${BATS_TEST_DIRNAME}/../../utils/parse_options.sh"
(( \$# == 2 )) || usage
printf '<%s>' "\${nj}" "\${train_args}" "\${conf}" "\${force}" "\$@"
END
    chmod +x "${BATS_TEST_TMPDIR}/verb.sh"
}

verb() {
    run "${BATS_TEST_TMPDIR}/verb.sh" "$@"
}

says() { # says <status> <output>: are these the status and the whole output?
    [[ ${status} == "$1" && ${output} == "$2" ]] || {
        printf 'exit %s: %s\n' "${status}" "${output}"
        return 1
    }
}

@test "defaults, and positional arguments with spaces" {
    verb "a b" c
    says 0 '<4><><a.yaml><false><a b><c>'
}

@test "options with - or _, with = or a blank, before or behind the arguments" {
    verb --nj 2 in --train-args "--lr 1e-4" out --force=true
    says 0 '<2><--lr 1e-4><a.yaml><true><in><out>'
    verb --train_args="--lr=1" --nj=08 in out
    says 0 '<8><--lr=1><a.yaml><false><in><out>'
}

@test "a boolean alone means true, and does not take an argument as its value" {
    verb --force in out
    says 0 '<4><><a.yaml><true><in><out>'
    verb --force false in out
    says 0 '<4><><a.yaml><false><in><out>'
}

@test "words behind -- are not options" {
    verb -- --nj out
    says 0 '<4><><a.yaml><false><--nj><out>'
}

@test "values are text: nothing in them is run or expanded" {
    # shellcheck disable=SC2016
    verb '--train-args=$(touch pwned) `id` $HOME *' in out
    # shellcheck disable=SC2016
    says 0 '<4><$(touch pwned) `id` $HOME *><a.yaml><false><in><out>'
}

@test "the header is the help" {
    verb --help
    [[ ${status} == 0 && ${lines[0]} == 'Does a thing.' && ${output} == *'--train-args ARGS   passed on'* ]]
    [[ ${output} != *'set -euo'* ]]
}

@test "unknown options, missing values and values of the wrong type: one line, exit status 2" {
    verb --bogus
    says 2 "verb.sh: unknown option '--bogus' (see --help)"
    verb --bogus=3 in out
    says 2 "verb.sh: unknown option '--bogus' (see --help)"
    verb -x
    says 2 "verb.sh: unknown option '-x' (see --help)"
    verb in out --nj
    says 2 'verb.sh: --nj needs a value (see --help)'
    verb --train-args --force in out
    says 2 'verb.sh: --train-args needs a value (see --help)'
    verb --conf= in out
    says 2 'verb.sh: --conf needs a value (see --help)'
    for value in x 1.5 -1 ''; do
        verb --nj="${value}" in out
        says 2 "verb.sh: --nj is a whole number, not '${value}'"
    done
    verb --force=maybe in out
    says 2 "verb.sh: --force is true or false, not 'maybe'"
}

@test "variables of the script that the help does not list are not options" {
    verb --undocumented 2 in out
    says 2 "verb.sh: unknown option '--undocumented' (see --help)"
    verb --PATH /tmp in out
    says 2 "verb.sh: unknown option '--PATH' (see --help)"
}

@test "LIST, TEXT and ARGS in the header are text, whatever the default looks like" {
    cat >"${BATS_TEST_TMPDIR}/verb.sh" <<END
#!/usr/bin/env bash
# Does a thing.
#
#   --seeds LIST   seeds (1)
#   --name TEXT    a name (7)
#   --more ARGS    passed on (5)
#   --jobs N       jobs (1)
set -euo pipefail
seeds=1 name=7 more=5 jobs=1
source "${BATS_TEST_DIRNAME}/../../utils/parse_options.sh"
printf '<%s>' "\${seeds}" "\${name}" "\${more}" "\${jobs}"
END
    verb
    says 0 '<1><7><5><1>'
    verb --seeds "1 2" --name=08 --more "--lr 1" --jobs 08
    says 0 '<1 2><08><--lr 1><8>'
    verb --seeds=
    says 2 'verb.sh: --seeds needs a value (see --help)'
    verb --jobs "1 2"
    says 2 "verb.sh: --jobs is a whole number, not '1 2'"
}

wrapper() { # wrapper <argument...>: run a script that has its own options and passes on those of verb.sh
    cat >"${BATS_TEST_TMPDIR}/wrap.sh" <<END
#!/usr/bin/env bash
# Wraps it.
#
# usage: wrap.sh [options]
#
#   --seed N      its own (0)
#   --again BOOL  its own (false)
set -euo pipefail
seed=0 again=false options_pass=${BATS_TEST_TMPDIR}/verb.sh
source "${BATS_TEST_DIRNAME}/../../utils/parse_options.sh"
printf '<%s>' "\${seed}" "\${again}" -- \${passed[@]+"\${passed[@]}"} -- "\$@"
END
    run bash "${BATS_TEST_TMPDIR}/wrap.sh" "$@"
}

@test "a wrapper keeps the options of the script that it wraps, with their values, as they were typed" {
    wrapper
    says 0 '<0><false><--><-->'
    wrapper --nj 2 --seed 3 --train_args "--lr 1e-4" in --conf=b.yaml out
    says 0 '<3><false><--><--nj><2><--train_args><--lr 1e-4><--conf=b.yaml><--><in><out>'
    wrapper --again --force --seed=4 --force false --train-args --seed=2 -- --nj
    says 0 '<4><true><--><--force><--force><false><--train-args><--seed=2><--><--nj>'
    wrapper --nj
    says 0 '<0><false><--><--nj><-->' # the wrapped script refuses it
}

@test "a wrapper refuses options that neither script has, and shows the help of both" {
    wrapper --bogus 3
    says 2 "wrap.sh: unknown option '--bogus' (see --help)"
    wrapper --undocumented 3
    says 2 "wrap.sh: unknown option '--undocumented' (see --help)"
    wrapper --seed --nj 3
    says 2 'wrap.sh: --seed needs a value (see --help)'
    wrapper --seed x
    says 2 "wrap.sh: --seed is a whole number, not 'x'"
    wrapper --help
    [[ ${status} == 0 && ${output} == 'Wraps it.'*'--again BOOL'*'Does a thing.'*'--train-args ARGS   passed on'* ]]
}

@test "wrong arguments show the usage" {
    verb in
    says 2 'verb.sh: wrong arguments: usage: verb.sh [options] <in> <out> (more: --help)'
}

@test "split_words splits as a shell does and runs nothing" {
    # shellcheck disable=SC2016
    TEXT="--lr 1e-4 --name 'a b' c\\ d \$(id) *" run bash -c 'source "$0" && split_words "${TEXT}" && printf "<%s>" "${words[@]}"' \
        "${BATS_TEST_DIRNAME}/../../utils/parse_options.sh"
    # shellcheck disable=SC2016
    says 0 '<--lr><1e-4><--name><a b><c d><$(id)><*>'
    for text in "''" "a ''" "'' a '' ''" "  "; do
        eval "expected=(${text})"
        # shellcheck disable=SC2016
        TEXT=${text} run bash -c 'source "$0" && split_words "${TEXT}" && printf "<%s>" "${#words[@]}" ${words[@]+"${words[@]}"}' \
            "${BATS_TEST_DIRNAME}/../../utils/parse_options.sh"
        # shellcheck disable=SC2154
        says 0 "$(printf '<%s>' "${#expected[@]}" ${expected[@]+"${expected[@]}"})"
    done
    # shellcheck disable=SC2016
    run bash -c 'source "$0" && split_words "--name \"a"' "${BATS_TEST_DIRNAME}/../../utils/parse_options.sh"
    [[ ${status} == 2 && ${output} == *'an unmatched quote in: --name "a' ]]
}

@test "a quoted word is one word of split_words, in every locale" {
    # shellcheck disable=SC2016
    LC_ALL=C TEXT="Küche 1/it's \"\$x\" \\d & *" run bash -c 'source "$0" && split_words "a $(quoted "${TEXT}") $(quoted "") b" && printf "<%s>" "${words[@]}"' \
        "${BATS_TEST_DIRNAME}/../../utils/parse_options.sh"
    # shellcheck disable=SC2016
    says 0 '<a><Küche 1/it'"'"'s "$x" \d & *><><b>'
}

@test "a missing TMPDIR is named" {
    TMPDIR=${BATS_TEST_TMPDIR}/gone run "${BATS_TEST_DIRNAME}/../../egs/desed/run.sh" --nj 1
    [[ ${status} == 2 && ${output} == "run.sh: TMPDIR ${BATS_TEST_TMPDIR}/gone: no such folder"* ]]
}

@test "scripts work when run by sh, and if CDPATH is exported" {
    cd "${BATS_TEST_DIRNAME}/../.."
    for script in egs/*/run.sh steps/train.sh local/prepare.sh utils/run.sh; do
        run sh "${script}" --help
        [[ ${status} == 0 && ${output} == *'usage:'* ]]
        CDPATH=.:/tmp run "${script}" --help
        [[ ${status} == 0 && ${output} == *'usage:'* ]]
    done
}

@test "missing tools on macOS are reported in one line" {
    local root=${BATS_TEST_DIRNAME}/../..
    cd "${BATS_TEST_TMPDIR}" && mkdir bin
    for tool in bash awk basename dirname grep cat; do ln -s "$(command -v "${tool}")" "bin/${tool}"; done
    printf '%s\n' '#!/usr/bin/env bash' 'echo "realpath: illegal option -- m" >&2; exit 1' >bin/realpath
    chmod +x bin/realpath
    PATH=${PWD}/bin run bash -c "OSTYPE=darwin23 && source '${root}/utils/parse_options.sh'"
    [[ ${status} == 2 && ${#lines[@]} == 1 && ${output} == *'brew install coreutils'* ]]
}
