#!/usr/bin/env bats
# Systems that egs/desed/run.sh trains, their features and names; with a stand-in for python3 that writes the output
# files of dumping, training, inference and scoring.

root=$(cd "${BATS_TEST_DIRNAME}/../.." && pwd)

setup() {
    cd "${BATS_TEST_TMPDIR}" || return 1
    export CALLS=${BATS_TEST_TMPDIR}/calls SED_BACKEND=local CUDA_VISIBLE_DEVICES='' PYTHONPATH=${root}
    python=$(command -v python3)
    export python
    mkdir -p bin work/data/{strong_real,validation} work/downloads
    touch "${CALLS}" work/downloads/ast.pth
    printf '%s\n' Cat >work/data/labels.txt
    for set in strong_real validation; do
        echo "a ${PWD}/a.wav" >"work/data/${set}/wav.scp"
        printf 'filename\tduration\na.wav\t10\n' >"work/data/${set}/durations.tsv"
        printf 'filename\tonset\toffset\tevent_label\na.wav\t1\t2\tCat\n' >"work/data/${set}/events.tsv"
    done
    touch a.wav
    cat >bin/python3 <<'STUB'
#!/usr/bin/env bash
[[ "$*" != *sys.executable* ]] || { dirname "$0" && exit; } # the environment that path.sh looks for
[[ $1 == -m && $2 != sed.bin.@(experiments|show_config|check_data_dir) ]] || exec "${python}" "$@"
echo "${*:2}" >>"${CALLS}"
last=${*: -1}
case $2 in
    sed.bin.dump_features) echo "a $(basename "${last}"):0" >"${last%.h5}.scp" && touch "${last}" ;;
    sed.bin.train) touch "${last}/final.pt" "${last}/.done" ;;
    sed.bin.infer) touch "${last}" ;;
    sed.bin.import_model) mkdir -p "${last}" && touch "${last}"/model.{json,safetensors} ;;
    sed.bin.tune) while [[ $1 != --out ]]; do shift; done && touch "$2" ;;
    sed.bin.score) while [[ $1 != --out ]]; do shift; done && touch "$2" ;;
    sed.bin.results) echo '# Results' >"${last}" ;;
esac
STUB
    chmod +x bin/python3
    PATH=${BATS_TEST_TMPDIR}/bin:${PATH}
}

desed() { run "${root}/egs/desed/run.sh" --work work --ngpu 0 --nj 1 "$@"; }
calls() { # calls <pattern>: print the number of matching calls of the stand-in so far
    grep -c -- "$1" "${CALLS}" || true
}
trained() { # trained <experiment>: print the call that trained it
    grep "^sed.bin.train .* ${PWD}/work/exp/$1\$" "${CALLS}"
}

@test "files are found from the folder of the call and from the top of the repository" {
    echo 'lr: 1' >own.yaml
    # there is no stage 6: the configs are only looked for
    desed --stage 6 --conf egs/realdesed/conf/atst_f.yaml --systems "ast_sed ./own.yaml conf/mini/crnn.yaml"
    [[ ${output} == "run.sh: no stage between --stage 6 and"* ]] || {
        echo "${output}"
        return 1
    }
    desed --stage 6 --conf egs/none.yaml
    [[ ${status} == 2 && ${output} == *"egs/none.yaml: no such config"* ]]
}

@test "a run without a stage, and a command of stage 0 or 1 that does not exist, are refused" {
    for stages in "--stage 6" "--stage 3 --stop-stage 2"; do
        # shellcheck disable=SC2086
        desed ${stages}
        [[ ${status} == 2 && ${output} == "run.sh: no stage between --stage "*" (there are 0 to 5)" ]]
    done
    desed --stop-stage 0 --download "local/none.sh --nj 2"
    [[ ${status} == 2 && ${lines[-1]} == "run.sh: --download: no such command in ${root}/egs/desed: local/none.sh" ]]
    desed --stage 1 --stop-stage 1 --prepare "./none.sh"
    [[ ${status} == 2 && ${lines[-1]} == "run.sh: --prepare: no such command in ${root}/egs/desed: ./none.sh" ]]
}

@test "stage 2 dumps the front ends of the systems, and no others" {
    desed --stage 2 --stop-stage 2 --systems "ast_gru ast_sed crnn"
    [[ ${status} == 0 && $(calls dump_features) == 4 ]] || {
        echo "${output}"
        return 1
    }
    [[ $(calls "--config conf/logmel.yaml ${PWD}/work/dump/validation/") == 1 ]]
    [[ $(calls "--config ${root}/conf/logmel_crnn.yaml ${PWD}/work/dump/logmel_crnn/validation/") == 1 ]]
    cmp work/data/labels.txt work/dump/logmel_crnn/labels.txt
    rm -r work/dump && : >"${CALLS}"
    desed --stage 2 --stop-stage 2
    [[ ${status} == 0 && $(calls dump_features) == 2 && ! -e work/dump/logmel_crnn ]]
}

@test "a system without dumped features is refused with the name of the front end" {
    desed --stage 2 --stop-stage 2
    desed --stage 3 --stop-stage 4 --systems "ast_gru crnn"
    [[ ${status} == 2 && ${lines[-1]} == *"dump/logmel_crnn/labels.txt: no such file (run stage 2 first, which dumps the front end ${root}/conf/logmel_crnn.yaml)" ]]
    [[ -e work/exp/ast_gru/.done && ! -e work/exp/crnn ]]
}

@test "stage 3 trains AST-GRU, stage 4 all others, stage 5 scores each on its own features" {
    desed --stage 2 --stop-stage 3 --systems "crnn ast_gru ast_sed"
    [[ ${status} == 0 && $(cd work/exp && echo *) == ast_gru ]]
    desed --stage 3 --systems "crnn ast_gru ast_sed" --train-args "--lr 2e-4"
    [[ ${status} == 0 && $(cd work/exp && echo *) == 'ast_gru ast_sed crnn' ]]
    [[ $(trained crnn) == "sed.bin.train --config conf/crnn.yaml --pretrained none --lr 2e-4 ${PWD}/work/dump/logmel_crnn "* ]]
    [[ $(trained ast_sed) == "sed.bin.train --config conf/ast_sed.yaml --pretrained ${PWD}/work/downloads/ast.pth --lr 2e-4 ${PWD}/work/dump "* ]]
    grep -q "^sed.bin.infer .*exp/crnn ${PWD}/work/dump/logmel_crnn/validation " "${CALLS}"
    [[ $(calls sed.bin.score) == 3 && -s work/RESULTS.md ]]
}

@test "with seeds each experiment has its own; a config starts from the model of the same seed" {
    printf 'base: %s/conf/ast_sed.yaml\ninit_from: ast_sed\n' "${root}" >further.yaml
    desed --stage 2 --stop-stage 4 --systems "further.yaml ast_sed" --seeds "1 2"
    [[ ${status} == 0 && $(cd work/exp && echo *) == 'ast_sed_seed1 ast_sed_seed2 further_seed1 further_seed2' ]]
    [[ $(trained further_seed2) == *"--seed 2 --pretrained ${PWD}/work/exp/ast_sed_seed2 "* ]]
    [[ $(trained ast_sed_seed2) == *"--seed 2 --pretrained ${PWD}/work/downloads/ast.pth "* ]]
    [[ $(grep -n further_seed1 "${CALLS}" | head -n 1 | cut -d: -f1) -gt $(grep -n 'exp/ast_sed_seed2$' "${CALLS}" | head -n 1 | cut -d: -f1) ]]
    : >"${CALLS}"
    desed --stage 2 --stop-stage 2 --systems ast_sed --seeds 3
    [[ ${status} == 0 && $(calls dump_features) == 0 ]]
}

@test "--conf and --gru-conf replace the configs of the two default systems, --tag the name of the first, --feature-conf the front end" {
    printf 'mel_bins: 128\n' >mel.yaml
    printf 'upsample: 5\n' >mine.yaml
    desed --stage 2 --stop-stage 4 --conf mine.yaml --gru-conf conf/mini/ast_gru.yaml --feature-conf mel.yaml --pretrained none --tag other
    [[ ${status} == 0 && $(cd work/exp && echo *) == 'ast_gru other' ]]
    [[ $(trained ast_gru) == *" ${PWD}/work/dump/logmel "* ]] # of conf/mini/logmel.yaml, which it names
    [[ $(calls "dump_features --config ${PWD}/mel.yaml") == 2 ]]
    [[ $(trained other) == "sed.bin.train --config ${PWD}/mine.yaml --pretrained none ${PWD}/work/dump "* ]]
    desed --stage 4 --stop-stage 4 --conf conf/ablation/upsample_5.yaml --feature-conf mel.yaml
    [[ ${status} == 0 && -e work/exp/upsample_5/.done ]]
}

@test "an unknown system is refused before any work" {
    desed --systems "ast_gru nothing_such" --download false
    [[ ${status} == 2 && ${#lines[@]} == 1 && ${output} == *"nothing_such: no such config in conf"* && ! -s ${CALLS} ]]
    desed --conf none.yaml --download false
    [[ ${status} == 2 && ${output} == *"none.yaml: no such config"* && ! -s ${CALLS} ]]
}

@test "zero_shot is imported instead of trained, tuned on synthetic validation, scored and cross-fitted, once" {
    mkdir -p work/data/synth_valid
    cp work/data/validation/*.* work/data/synth_valid
    touch strong.pt
    desed --stage 2 --systems zero_shot --pretrained strong.pt
    [[ ${status} == 0 && $(calls sed.bin.train) == 0 && $(calls sed.bin.import_model) == 2 ]] || {
        echo "${output}"
        return 1
    }
    place=${PWD}/work/exp/zero_shot dump=${PWD}/work/dump/logmel_atst
    [[ $(calls "import_model --config conf/zero_shot.yaml --class-map ${root}/local/desed_class_map.tsv --labels ${dump}/labels.txt ${PWD}/strong.pt ${place}") == 1 ]]
    [[ $(calls "import_model .* --tuned ${place}/tuned.json ${PWD}/strong.pt ${place}") == 1 ]]
    [[ $(calls "tune ${place}/synth_valid/scores.h5 .* --post-processing csebbs --what csebbs,threshold") == 1 ]]
    [[ $(calls "score ${place}/validation/scores.h5 .* --tuned ${place}/tuned.json") == 1 ]]
    [[ $(calls "score ${place}/validation_cross_fitted/scores.h5 .* --cross-fit csebbs,threshold --set validation") == 1 ]]
    : >"${CALLS}"
    desed --stage 2 --systems zero_shot --pretrained strong.pt
    [[ ${status} == 0 && $(calls "import_model\|tune\|infer\|sed.bin.score") == 0 ]]
    echo other >strong.pt
    desed --stage 4 --stop-stage 4 --systems zero_shot --pretrained strong.pt
    [[ ${status} == 0 && $(calls import_model) == 2 ]]
}

@test "a published detector is imported again if the base of its config has changed" {
    touch map.tsv strong.pt
    mkdir dump && touch dump/labels.txt
    printf 'base: first.yaml\n' >own.yaml
    import() { "${root}/steps/import_model.sh" --ngpu 0 --class-map map.tsv own.yaml strong.pt dump exp/own; }
    for merge in max max noisy_or; do
        printf 'class_merge: %s\n' "${merge}" >first.yaml
        import
    done
    [[ $(calls import_model) == 2 ]]
}

@test "a published detector that was not tuned is tuned once its tuning set is there" {
    touch map.tsv strong.pt
    mkdir -p dump/synth_valid && touch dump/labels.txt dump/synth_valid/feats.scp
    printf 'class_merge: max\n' >own.yaml
    import() { run "${root}/steps/import_model.sh" --ngpu 0 --class-map map.tsv own.yaml strong.pt dump exp/own; }
    import
    [[ ${status} == 0 && ${output} == *'cSEBBs are not tuned'* ]]
    import
    [[ ${output} == *'already done' ]]
    printf 'filename\tonset\toffset\tevent_label\n' | tee dump/synth_valid/events.tsv >dump/synth_valid/durations.tsv
    import
    [[ ${status} == 0 && -e exp/own/tuned.json && $(calls sed.bin.tune) == 1 ]]
    import
    [[ ${output} == *'already done' ]]
    printf 'a.wav\t0\t1\tSpeech\n' >>dump/synth_valid/events.tsv
    import
    [[ ${status} == 0 && $(calls sed.bin.tune) == 2 ]] # and again if its labels or its features have changed
    echo 'a feats.1.h5:0' >dump/synth_valid/feats.scp
    import
    [[ ${status} == 0 && $(calls sed.bin.tune) == 3 ]]
    import
    [[ ${output} == *'already done' ]]
}
