#!/usr/bin/env bats
# utils/split_scp.sh.

utils=${BATS_TEST_DIRNAME}/../../utils

setup() {
    cd "${BATS_TEST_TMPDIR}" || return 1
}

@test "split: all lines in order, and lengths that differ by at most one" {
    for lines in 3 4 10 17; do
        seq "${lines}" >in
        "${utils}/split_scp.sh" in out.1 out.2 out.3
        cmp in <(cat out.1 out.2 out.3)
        for part in out.{1,2,3}; do (($(wc -l <"${part}") >= lines / 3 && $(wc -l <"${part}") <= (lines + 2) / 3)); done
    done
}

@test "split: a last line without a line end is a line" {
    printf '1\n2\n3' >in
    "${utils}/split_scp.sh" in out.1 out.2 out.3
    [[ $(cat out.3) == 3 ]]
}

@test "split: a folder's name may have an equals sign" {
    mkdir a=b
    seq 4 >a=b/in
    "${utils}/split_scp.sh" a=b/in a=b/out.1 a=b/out.2 </dev/null
    cmp a=b/in <(cat a=b/out.{1,2})
}

@test "split: an unchanged part is not written" {
    seq 4 >in
    "${utils}/split_scp.sh" in out.1 out.2
    touch -d '2001-01-01' out.1 out.2
    printf '%s\n' 1 2 3 x >in
    "${utils}/split_scp.sh" in out.1 out.2
    [[ $(date -r out.1 +%Y) == 2001 && $(date -r out.2 +%Y) != 2001 ]]
    [[ $(echo ./*) == './in ./out.1 ./out.2' ]]
}

@test "split: fewer lines than parts, or a missing list, are refused" {
    seq 2 >in
    run "${utils}/split_scp.sh" in a b c
    [[ ${status} == 2 && ${output} == *'2 lines cannot be split into 3 parts'* && ! -e a ]]
    run "${utils}/split_scp.sh" nothing a b
    [[ ${status} == 2 && ${output} == *'nothing: no such file'* ]]
}
