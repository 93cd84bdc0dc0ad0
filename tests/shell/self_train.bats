#!/usr/bin/env bats
# steps/self_train.sh: refused options, and a tiny run with its output, repeated without work.

setup() {
    top=$(cd "${BATS_TEST_DIRNAME}/../.." && pwd)
    cd "${BATS_TEST_TMPDIR}" || exit
    mkdir -p dump/validation dump/weak
    touch dump/validation/events.tsv first.yaml next.yaml
}

@test "a --tune-set that is a test set, missing or one of --label-sets, one that is not in the dump, and an unmatched quote are refused" {
    run "${top}/steps/self_train.sh" --tune-set validation first.yaml next.yaml dump exp/x
    [[ ${status} == 2 && ${output} == *"validation: a test set"* ]]
    run "${top}/steps/self_train.sh" first.yaml next.yaml dump exp/x
    [[ ${status} == 2 && ${output} == *"dump/synth_valid/events.tsv: no such file"* ]]
    touch dump/weak/events.tsv
    run "${top}/steps/self_train.sh" --tune-set weak first.yaml next.yaml dump exp/x
    [[ ${status} == 2 && ${output} == *"weak is one of --label-sets"* ]]
    mkdir dump/synth_valid && touch dump/synth_valid/events.tsv dump/weak/feats.scp
    run "${top}/steps/self_train.sh" --label-sets "weak unlabeled" first.yaml next.yaml dump exp/x
    [[ ${status} == 2 && ${#lines[@]} == 1 && ${output} == *"dump/unlabeled/feats.scp: no such file (--label-sets"* ]]
    run "${top}/steps/self_train.sh" --label-sets weak --tune-args "--what 'threshold" first.yaml next.yaml dump exp/x # before any training
    [[ ${status} == 2 && ${#lines[@]} == 1 && ${output} == *"an unmatched quote in"* ]]
}

@test "posteriors of an ensemble are the targets of a config without train_sets; other --tune-args are not ignored" {
    mkdir bin dump/synth_valid
    touch dump/{synth_valid,weak}/events.tsv dump/labels.txt
    touch dump/{synth_valid,weak}/{feats.scp,durations.tsv}
    printf 'pseudo_weight: 1.5\n' >next.yaml
    python=$(command -v python3) CALLS=${PWD}/calls
    export python CALLS SED_BACKEND=local PYTHONPATH=${top}
    cat >bin/python3 <<'END'
#!/usr/bin/env bash
[[ $2 != sed.bin.show_config ]] || exec "${python}" "$@"
echo "${*:2}" >>"${CALLS}"
last=${*: -1}
case $2 in
    sed.bin.train) touch "${last}"/{final.pt,.done} ;;
    sed.bin.infer | sed.bin.average_scores) touch "${last}" ;;
    sed.bin.tune) while [[ $1 != --out ]]; do shift; done && echo "$*" >"$2" ;;
    sed.bin.pseudo_label) mkdir -p "${last}" && touch "${last}/feats.scp" ;;
esac
END
    chmod +x bin/python3
    self_train() {
        PATH=${PWD}/bin:${PATH} "${top}/steps/self_train.sh" --ngpu 0 --seeds 1 --iterations 1 --label-sets weak "$@" first.yaml next.yaml dump exp/x
    }
    self_train
    [[ $(tail -n 1 calls) == 'sed.bin.train --config next.yaml --pseudo-labels exp/x_it1 --seed 1 dump exp/x_it2_seed1' ]]
    grep -q '^sed.bin.tune .* --post-processing weak_mask,median --what median,threshold$' calls
    # trained members are refused if their labels would now be others
    sed -i '/sed.bin.tune/d' calls
    self_train
    run grep sed.bin.tune calls
    [[ ${status} == 1 ]]
    run self_train --tune-args "--what threshold"
    [[ ${status} == 2 && ${output} == *'x_it2_seed1: was trained with other pseudo-labels'* ]]
    grep -q '^sed.bin.tune .* --what threshold$' calls
    rm exp/x_it2_seed1/{.done,final.pt} # one that was killed before its first checkpoint was trained with none
    self_train --tune-args "--what threshold"
    mkdir exp/x_it2_seed1/checkpoints && touch exp/x_it2_seed1/checkpoints/step-00000002.pt
    rm exp/x_it2_seed1/{.done,final.pt}
    run self_train
    [[ ${status} == 2 && ${output} == *'x_it2_seed1: was trained with other pseudo-labels'* ]]
    self_train --tune-args "--what threshold" --force
    # so are they if clips have other tags, which the labels are limited to
    printf 'filename\tevent_labels\na.wav\tDog\n' >dump/weak/tags.tsv
    run self_train --tune-args "--what threshold"
    [[ ${status} == 2 && ${output} == *'x_it2_seed1: was trained with other pseudo-labels'* ]]
    # labels of an earlier version, which stored no tags, are kept if they are newer
    cp exp/x_it2_seed1/.labels dump/pseudo_x_it1/feats.scp.of
    run grep tags.tsv dump/pseudo_x_it1/feats.scp.of
    [[ ${status} == 1 ]]
    touch dump/pseudo_x_it1/feats.scp
    sed -i '/sed.bin.pseudo_label/d' calls
    self_train --tune-args "--what threshold"
    run grep sed.bin.pseudo_label calls
    [[ ${status} == 1 ]]
    # a file named in --tune-args is read again if it has changed
    printf 'a' >own.json
    self_train --tune-args "--tuned own.json" --force
    sed -i '/sed.bin.tune/d' calls
    self_train --tune-args "--tuned own.json"
    run grep sed.bin.tune calls
    [[ ${status} == 1 ]]
    printf 'b' >own.json
    run self_train --tune-args "--tuned own.json"
    grep -q '^sed.bin.tune .* --tuned own.json$' calls
    # blanks and quotation marks in paths
    printf 'pseudo_weight: 1.5\ntrain_sets: strong_real,pseudo\n' >next.yaml
    mkdir "my dump" && cp -r dump/* "my dump"
    PATH=${PWD}/bin:${PATH} "${top}/steps/self_train.sh" --ngpu 0 --seeds 1 --iterations 1 --label-sets weak \
        first.yaml next.yaml "my dump" "Sam's exp/my x"
    tail -n 1 calls | grep -qF "train --config next.yaml --train-sets strong_real,pseudo_my x_it1 --pseudo-labels Sam's exp/my x_it1 --seed 1"
}

# bats test_tags=slow
@test "an ensemble labels, the next one is trained with its labels, and a second call does nothing" {
    rm -r dump
    PYTHONPATH=${top}:${top}/tests/helpers python3 - <<'END'
from pathlib import Path

import yaml
from tiny_training import TINY, write_dump

write_dump(Path("dump"))
first = {**TINY, "train_sets": ["strong_real", "strong_synth"], "batch_sizes": [2, 2], "consistency_weight": 0.0}
Path("first.yaml").write_text(yaml.safe_dump(first))
pseudo = {"train_sets": ["strong_real", "pseudo"], "batch_sizes": [2, 4]}
Path("next.yaml").write_text(yaml.safe_dump({**first, **pseudo}))
soft = {"train_sets": ["strong_real", "weak", "unlabelled"], "batch_sizes": [2, 2, 2], "pseudo_weight": 1.5}
Path("soft.yaml").write_text(yaml.safe_dump({**first, **soft}))
END
    self_train() { "${top}/steps/self_train.sh" --ngpu 0 --seeds "1 2" --iterations 1 first.yaml next.yaml dump exp/x; }
    self_train
    grep -q '"tuned_on": "synth_valid"' dump/pseudo_x_it1/pseudo_labels.json
    grep -q '"onset"' exp/x_it1/tuned.json
    grep -q '"exp/x_it1_seed2"' exp/x_it2_seed1/info.json # a result names the labels' ensemble
    cp dump/pseudo_x_it1/feats.scp exp/x_it2_seed2/final.pt .
    rm exp/x_it2_seed2/.done exp/x_it2_seed2/final.pt dump/pseudo_x_it1/feats.scp.of # as if it had been killed
    run self_train
    [[ ${status} == 0 && ${output} == *"x_it2_seed1: already done"* ]]
    cmp feats.scp dump/pseudo_x_it1/feats.scp
    cmp final.pt exp/x_it2_seed2/final.pt # resumed or trained again: the same bytes
    # posteriors instead of events, by the same ensemble; only the second iteration is trained
    rm -r exp/x_it2_seed*
    "${top}/steps/self_train.sh" --ngpu 0 --seeds "1 2" --iterations 1 first.yaml soft.yaml dump exp/x
    grep -q "pseudo_labels: exp/x_it1" exp/x_it2_seed1/config.yaml
    python3 -c 'import json; print(json.load(open("exp/x_it2_seed1/info.json"))["pseudo_labels"]["weak"]["models"])' |
        grep -qF "['exp/x_it1_seed1', 'exp/x_it1_seed2']"
}
