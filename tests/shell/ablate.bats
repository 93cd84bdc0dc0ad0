#!/usr/bin/env bats
# steps/ablate.sh and steps/figure3.sh: the commands that they run, recorded by a stub of python3.

setup() {
    top=$(cd "${BATS_TEST_DIRNAME}/../.." && pwd)
    cd "${BATS_TEST_TMPDIR}"
    mkdir -p bin dump/validation
    touch dump/labels.txt dump/validation/{feats.scp,events.tsv,durations.tsv}
    # Notes each module called, and makes the files that the steps wait for.
    REAL_PYTHON=$(command -v python3)
    export REAL_PYTHON
    cat >bin/python3 <<'EOF'
#!/usr/bin/env bash
[[ $2 != sed.bin.show_config ]] || exec "${REAL_PYTHON}" "$@"
module=${2#sed.bin.}
echo "${module}$(printf ' %q' "${@:3}")" >>"${CALLS}"
case ${module} in
    train) mkdir -p "${*: -1}" && touch "${*: -1}"/{.done,final.pt} ;;
    infer) mkdir -p "$(dirname "${*: -1}")" && touch "${*: -1}" ;;
    score) while (($#)); do [[ $1 != --out ]] || touch "$2"; shift; done ;;
    figure3) [[ $* != *--list* ]] || printf '%s\n' '0 20 600' '1 500 8000' ;;
esac
EOF
    chmod +x bin/python3
    export PATH=${PWD}/bin:${PATH} CALLS=${PWD}/calls
    printf 'upsample: 10\n' >ten.yaml
    printf '# the same\nupsample: 10  # still\n' >again.yaml
    printf 'upsample: 5\n' >five.yaml
}

@test "ablate trains each config once and passes all to the table" {
    run "${top}/steps/ablate.sh" --ngpu 0 --train-args "--seed 2" ten.yaml again.yaml five.yaml dump exp
    [ "${status}" -eq 0 ]
    [[ ${output} == *"again (2 of 3): the same as ten"* ]]
    [ "$(grep -c '^train ' calls)" -eq 2 ]
    grep -q '^train --config five.yaml --seed 2 dump exp/five$' calls
    grep -q 'again.yaml=exp/ten/validation/result.json five.yaml=exp/five/validation/result.json$' calls
}

@test "ablate trains a config without keys, which has all defaults" {
    echo '# all defaults' >plain.yaml
    run "${top}/steps/ablate.sh" --ngpu 0 ten.yaml plain.yaml dump exp
    [[ ${status} == 0 && $(grep -c '^train ' calls) == 2 ]]
}

@test "ablate trains every config from the weights that it is given" {
    run "${top}/steps/ablate.sh" --ngpu 0 --pretrained "my ast.pth" --train-args "--seed 2" ten.yaml five.yaml dump exp
    [ "${status}" -eq 0 ]
    grep -q '^train --config ten.yaml --pretrained my\\ ast.pth --seed 2 dump exp/ten$' calls
    grep -q '^train --config five.yaml --pretrained my\\ ast.pth --seed 2 dump exp/five$' calls
    run "${top}/steps/ablate.sh" --ngpu 0 --pretrained none ten.yaml dump other
    grep -q '^train --config ten.yaml --pretrained none dump other/ten$' calls
}

@test "ablate refuses a missing argument or config" {
    run "${top}/steps/ablate.sh" dump exp
    [ "${status}" -eq 2 ]
    run "${top}/steps/ablate.sh" missing.yaml dump exp
    [ "${status}" -eq 2 ]
    [[ ${output} == *"missing.yaml: no such config"* ]]
    [ ! -e calls ]
}

@test "ablate refuses a bad config, and two different ones of one name, before any training" {
    printf 'upsample 5\n' >bad.yaml
    run "${top}/steps/ablate.sh" --ngpu 0 ten.yaml bad.yaml dump exp
    [[ ${status} == 2 && ${output} == *bad.yaml:1* && ! -e calls ]]
    mkdir other
    cp five.yaml other/ten.yaml
    run "${top}/steps/ablate.sh" --ngpu 0 ten.yaml other/ten.yaml dump exp
    [[ ${status} == 2 && ${output} == *"other/ten.yaml: exp/ten is the experiment of another config called ten, too"* && ! -e calls ]]
    cp again.yaml other/ten.yaml
    run "${top}/steps/ablate.sh" --ngpu 0 ten.yaml other/ten.yaml dump exp
    [[ ${status} == 0 && $(grep -c '^train ' calls) == 1 ]]
}

@test "figure 3 scores every band, and with --retrain trains on each" {
    mkdir -p exp/ast_gru && touch exp/ast_gru/final.pt
    run "${top}/steps/figure3.sh" --ngpu 0 dump/validation exp/ast_gru exp/figure3
    [ "${status}" -eq 0 ]
    [ "$(grep -c '^infer ' calls)" -eq 2 ]
    grep -q '^infer --model exp/ast_gru --band 1 dump/validation exp/figure3/swapped/band_01/scores.h5$' calls
    [ "$(tail -1 calls)" = "figure3 --model exp/ast_gru exp/figure3" ]
    run "${top}/steps/figure3.sh" --ngpu 0 --retrain true --pretrained ast.pth --conf ten.yaml dump/validation exp/ast_gru exp/figure3
    [ "${status}" -eq 0 ]
    [ "$(grep -c '^infer ' calls)" -eq 4 ] # the swapped ones are finished
    grep -q '^train --config ten.yaml --pretrained ast.pth --pooling band --band 1 dump exp/figure3/retrained/band_01$' calls
}

@test "figure 3 needs a trained AST-GRU" {
    run "${top}/steps/figure3.sh" dump/validation exp/ast_gru exp/figure3
    [ "${status}" -eq 2 ]
    [[ ${output} == *"train AST-GRU first"* ]]
}
