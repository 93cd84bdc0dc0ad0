#!/usr/bin/env bats
# The steps and the recipe, with a stand-in for python3 that writes the output files of each entry point: commands and
# their arguments, work that is skipped or done again, refused input.

root=$(cd "${BATS_TEST_DIRNAME}/../.." && pwd)

setup() {
    cd "${BATS_TEST_TMPDIR}" || return 1
    export CALLS=${BATS_TEST_TMPDIR}/calls SED_BACKEND=local PYTHONPATH=${root}
    unset CUDA_VISIBLE_DEVICES
    mkdir -p bin data/strong
    python=$(command -v python3)
    export python
    cat >bin/python3 <<'END'
#!/usr/bin/env bash
[[ $1 == -m ]] || exit 1
[[ $2 != sed.bin.@(check_data_dir|show_config) ]] || exec "${python}" "$@" # they are quick
echo "${*:2}" >>"${CALLS}"
[[ ${FAIL-} != "$2" ]] || { echo "${2##*.}: bad: ${FAIL}" >&2; exit 2; }
last=${*: -1} before=${*: -2:1}
case $2 in
    sed.bin.dump_features)
        awk -v h="$(basename "${last}")" '{ print $1, h ":" NR - 1 }' "${before}" >"${last%.h5}.scp"
        touch "${last}"
        ;;
    sed.bin.check_dump) exit "${DAMAGED:-0}" ;;
    sed.bin.train | sed.bin.launch)
        [[ "$*" != *sed.bin.pretrain* ]] || { touch "${last}" && exit; }
        echo "epoch 1${WARNING-}" && sleep "${TRAIN_SECONDS:-0}"
        touch "${last}/final.pt" "${last}/.done"
        ;;
    sed.bin.infer | sed.bin.merge_scores) touch "${last}" ;;
    sed.bin.pseudo_label) touch "${last}/feats.scp" ;;
    sed.bin.tune_windows) [[ ${NO_WINDOWS-} ]] || touch "${last}/windows.json" ;;
    sed.bin.split_soundbank) mkdir -p "${last}" ;;
    sed.bin.score) while [[ $1 != --out ]]; do shift; done && touch "$2" ;;
    sed.bin.results) printf 'system  clips\nx       1 of 1\n' && touch "${last}" ;;
esac
END
    chmod +x bin/python3
    PATH=${BATS_TEST_TMPDIR}/bin:${PATH}
    printf '%s\n' Cat Dog >data/labels.txt
    touch a.wav
    : >data/strong/wav.scp
    printf 'filename\tduration\n' >data/strong/durations.tsv
    for clip in a b c d e; do
        echo "${clip} a.wav" >>data/strong/wav.scp
        printf '%s.wav\t10\n' "${clip}" >>data/strong/durations.tsv
    done
    printf 'filename\tonset\toffset\tevent_label\na.wav\t1\t2\tCat\n' >data/strong/events.tsv
    printf 'mel_bins: 64\n' >logmel.yaml
    printf 'lr: 1 # fast\n' >x.yaml
}

@test "a step runs from a repository whose path has a blank" {
    mkdir -p "my repository" x/strong
    cp -R "${root}"/{steps,utils} "my repository"
    touch x/strong/scores.h5
    run "my repository/steps/score.sh" data/strong x/strong
    [[ ${status} == 0 && -e x/strong/result.json ]]
}

# A dump without --nj is four calls, one per job; the second dump of a set, one: check_dump.
calls() { # calls <number>: was the stand-in called this number of times since the test began, or ${CALLS} was emptied?
    [[ $(wc -l <"${CALLS}") == "$1" ]] || {
        cat "${CALLS}"
        return 1
    }
}

dump() {
    run "${root}/steps/dump_features.sh" --conf logmel.yaml "$@" data/strong dump/strong
}

train() {
    run "${root}/steps/train.sh" --ngpu 0 "$@" x.yaml dump exp/x
}

@test "dump: all is computed again if a recording has changed since, not if some were moved or others listed" {
    checked() { printf 'path\tsize\tmtime_ns\tseconds\tfault\n%b' "$1" >data/strong/.audio_check.tsv; }
    checked '/x/a.wav\t100\t7\t10\t\n/x/b.wav\t100\t8\t10\t\n'
    dump --nj 2
    dump --nj 2
    [[ ${status} == 0 && ${output} == *'already done'* ]]
    checked '/y/a b/a.wav\t100\t7\t10\t\n/y/a b/b.wav\t100\t8\t10\t\n/y/c.wav\t1\t1\t1\t\n'
    dump --nj 2
    [[ ${status} == 0 && ${output} == *'already done'* ]]
    calls 4 # two jobs, and check_dump twice
    checked '/y/a.wav\t100\t7\t10\t\n/y/b.wav\t101\t9\t10\t\n/y/c.wav\t1\t1\t1\t\n'
    touch dump/strong/.feats.1.h5.{part,journal} # of a killed run, whose recordings are not those of now
    FAIL=sed.bin.dump_features dump --nj 2
    [[ ${status} == 2 && ${output} == *'dump/strong: audio files that have changed: 1;'* && ! -e dump/strong/feats.scp ]]
    [[ ! -e dump/strong/.feats.1.h5.part && ! -e dump/strong/.feats.1.h5.journal ]]
    dump --nj 2
    [[ ${status} == 0 && ${output} != *changed* && -e dump/strong/feats.scp ]]
    calls 9 # check_dump, two jobs that fail, and two that succeed
    dump --nj 2
    [[ ${status} == 0 && ${output} == *'already done'* ]]
}

@test "dump: all is computed again if wav.scp, without stage 1's list of audio files, names other files" {
    dump
    dump
    [[ ${status} == 0 && ${output} == *'already done'* ]]
    first=$(head -n 1 data/strong/wav.scp)
    sed -i "1s#.*#${first%% *} ${PWD}/other.wav#" data/strong/wav.scp
    touch other.wav
    FAIL=sed.bin.dump_features dump
    [[ ${status} == 2 && ${output} == *'data/strong/wav.scp names other files: all features are computed again'* ]]
    [[ ! -e dump/strong/feats.scp ]] # nor is it done after a failure
    dump
    [[ ${status} == 0 && -s dump/strong/feats.scp && ${output} != *'already done'* ]]
}

@test "dump: jobs, then one feats.scp that covers wav.scp, with copies of labels and tables" {
    dump --nj 2
    [[ ${status} == 0 ]]
    [[ $(paste -sd ' ' dump/strong/feats.scp) == 'a feats.1.h5:0 b feats.1.h5:1 c feats.2.h5:0 d feats.2.h5:1 e feats.2.h5:2' ]]
    cmp data/strong/events.tsv dump/strong/events.tsv
    cmp data/labels.txt dump/labels.txt
    grep -qx 'sed.bin.dump_features --config logmel.yaml dump/strong/split/wav.2.scp dump/strong/feats.2.h5' "${CALLS}"
}

@test "dump: the second time it reports that all is done; --force does it again" {
    dump --nj 2
    dump --nj 2
    [[ ${status} == 0 && ${output} == *'already done, 5 clips' ]]
    calls 3 # the last looks whether the shards are whole
    grep -qx 'sed.bin.check_dump --config logmel.yaml dump/strong' "${CALLS}"
    touch dump/strong/.feats.1.h5.{part,journal}
    dump --nj 2 --force
    calls 5
    [[ ! -e dump/strong/.feats.1.h5.part && ! -e dump/strong/.feats.1.h5.journal ]]
}

@test "dump: shards that check_dump has removed are made again" {
    dump --nj 2
    DAMAGED=1 dump --nj 2
    [[ ${status} == 0 ]]
    calls 5
}

@test "dump: with more clips it is made again, and shards of an earlier run with more jobs are removed" {
    dump --nj 3
    echo 'f a.wav' >>data/strong/wav.scp
    printf 'f.wav\t10\n' >>data/strong/durations.tsv
    touch dump/strong/.feats.4.h5.{part,journal} # of a killed run
    dump --nj 2
    [[ ${status} == 0 && $(wc -l <dump/strong/feats.scp) == 6 && ! -e dump/strong/feats.3.h5 ]]
    [[ -z $(find dump/strong -name '.feats.4*') ]]
}

@test "dump: changed events are copied without computing the features again" {
    dump
    printf 'a.wav\t3\t4\tDog\n' >>data/strong/events.tsv
    dump
    [[ ${output} == *'already done'* ]]
    cmp data/strong/events.tsv dump/strong/events.tsv
}

@test "dump: features of another front end are refused; --force makes them again" {
    dump
    FAIL=sed.bin.check_dump dump
    [[ ${status} == 2 && ${output} == 'check_dump: bad: sed.bin.check_dump' && -s dump/strong/feats.scp ]]
    dump --force true
    [[ ${status} == 0 ]]
}

@test "dump: more jobs than clips are accepted; no jobs, no config and bad data are refused" {
    dump --nj 9
    [[ ${status} == 0 && $(ls dump/strong/feats.*.h5 | wc -l) == 5 ]]
    dump --nj 0
    [[ ${status} == 2 ]]
    run "${root}/steps/dump_features.sh" --conf none.yaml data/strong dump/other
    [[ ${status} == 2 && ${output} == *'none.yaml: no such config'* && ! -e dump/other ]]
    printf 'a.wav\t1\t2\tBird\n' >>data/strong/events.tsv
    run "${root}/steps/dump_features.sh" --conf logmel.yaml data/strong dump/other
    [[ ${status} == 2 && ${output} == *'events.tsv:3: unknown label '\''Bird'\'''* && ! -e dump/other ]]
}

@test "dump: a wav.scp without a line end at its end loses no clip" {
    printf '%s' "$(<data/strong/wav.scp)" >data/strong/wav.scp
    dump --nj 2
    [[ ${status} == 0 && $(wc -l <dump/strong/feats.scp) == 5 && ${output} == *'5 clips in 2 shards' ]]
    dump --nj 2
    [[ ${output} == *'already done, 5 clips' ]]
}

@test "dump: several sets at once into one dump, whose labels.txt they share" {
    for set in weak soft; do cp -r data/strong "data/${set}"; done
    printf '#!/usr/bin/env bash\n%s "$@" && sleep 0.3\n' "$(command -v cp)" >bin/cp # so that they meet
    chmod +x bin/cp
    pids=()
    for set in strong weak soft; do
        "${root}/steps/dump_features.sh" --conf logmel.yaml "data/${set}" "dump/${set}" 3>&- &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "${pid}"; done
    [[ $(ls dump) == $'labels.txt\nsoft\nstrong\nweak' ]]
}

@test "dump: features of a set that is not among the data directories any more are named" {
    cp -R data/strong data/weak
    sets() { run "${root}/steps/dump_sets.sh" --nj 1 data list.tsv; }
    printf 'logmel.yaml\tdump\n' >list.tsv
    sets
    [[ ${status} == 0 && ${output} != *'is not in data'* ]]
    cp -R dump/weak dump/pseudo
    touch dump/pseudo/pseudo_labels.json
    rm -r data/weak
    sets
    [[ ${status} == 0 && ${output} == *'dump/weak: features of a set that is not in data;'* && ${output} != *'dump/pseudo:'* ]]
}

@test "dump: the folder of the data directories may have brackets in its name" {
    mv data 'da[t]a'
    printf 'logmel.yaml\tdump\n' >list.tsv
    run "${root}/steps/dump_sets.sh" --nj 1 'da[t]a' list.tsv
    [[ ${status} == 0 && -e dump/strong/feats.scp ]]
}

@test "dump: a job that fails leaves no feats.scp" {
    FAIL=sed.bin.dump_features dump --nj 2
    [[ ${status} == 2 && ${output} == *'dump_features: bad'* && ! -e dump/strong/feats.scp ]]
}

@test "train: once, then already done; other arguments are passed to the trainer, which may refuse them" {
    dump
    train --train-args "--lr 1e-4 --name 'a b'"
    [[ ${status} == 0 && ${output} == *'epoch 1'* ]]
    grep -qx 'sed.bin.train --config x.yaml --lr 1e-4 --name a b dump exp/x' "${CALLS}"
    calls 5
    cp exp/x/log/train.log train.log
    touch exp/x/.asked # of an earlier version
    train --train-args "--lr 1e-4 --name 'a b'"
    [[ ${status} == 0 && ${#lines[@]} == 1 && ${output} == *'exp/x: already done' ]]
    calls 6 # the trainer says whether it is the same
    WARNING=': trained before these sets of dump changed: weak' train --train-args "--lr 1e-4 --name 'a b'"
    [[ ${status} == 0 && ${#lines[@]} == 2 && ${output} == *'changed: weak'*'exp/x: already done' ]]
    calls 7
    FAIL=sed.bin.train train --train-args "--lr 2e-4"
    [[ ${status} == 2 && ${output} == 'train: bad: sed.bin.train' ]]
    calls 8
    cmp exp/x/log/train.log train.log
    FAIL=sed.bin.train train --force
    [[ ${status} != 0 && -e exp/x/.done ]] # a wrong option does not cost the earlier training
    train --force
    [[ $(tail -n 1 "${CALLS}") == 'sed.bin.train --config x.yaml --force dump exp/x' ]]
    train --train-args=--force
    [[ ${status} == 0 && ${output} == *'epoch 1'* ]] # not hidden, as that of a training that is done
}

@test "blank lines of a list are skipped by each.sh and dump_sets.sh, too" {
    printf 'logmel.yaml\tdump\n\n' >front_ends.tsv
    run "${root}/steps/dump_sets.sh" --nj 1 data front_ends.tsv
    [[ ${status} == 0 ]]
    printf '\nx\tx.yaml\tdump\n\n' >list.tsv
    run "${root}/steps/each.sh" --ngpu 0 train list.tsv exp
    [[ ${status} == 0 && $(grep -c sed.bin.train "${CALLS}") == 1 && -e exp/x/final.pt ]]
}

@test "a list of each.sh, sweep.sh and dump_sets.sh may be a pipe of the shell" {
    run "${root}/steps/dump_sets.sh" --nj 1 data <(printf 'logmel.yaml\tdump\n')
    [[ ${status} == 0 ]]
    run "${root}/steps/each.sh" --ngpu 0 train <(printf 'x\tx.yaml\tdump\n') exp
    [[ ${status} == 0 && -e exp/x/final.pt ]]
    run "${root}/steps/sweep.sh" --ngpu 0 --jobs 1 train <(printf 'y\tx.yaml\tdump\n') exp
    [[ ${status} == 0 && -e exp/y/final.pt ]]
    run "${root}/steps/each.sh" train dump exp
    [[ ${status} == 2 && ${output} == 'each.sh: dump: no such file' ]]
}

@test "train: several GPUs by torchrun" {
    dump
    CUDA_VISIBLE_DEVICES=0,1 run "${root}/steps/train.sh" --ngpu 2 x.yaml dump exp/x
    [[ ${status} == 0 ]]
    [[ $(tail -n 1 "${CALLS}") == 'sed.bin.launch --nproc-per-node 2 --standalone -m sed.bin.train --config x.yaml dump exp/x' ]]
}

@test "pretrain: several GPUs by torchrun, one without" {
    CUDA_VISIBLE_DEVICES=0,1 run "${root}/steps/pretrain.sh" --ngpu 2 x.yaml data ast.pth
    [[ ${status} == 0 && $(tail -n 1 "${CALLS}") == 'sed.bin.launch --nproc-per-node 2 --standalone -m sed.bin.pretrain --config x.yaml data ast.pth' ]]
    CUDA_VISIBLE_DEVICES=0,1 run "${root}/steps/pretrain.sh" --ngpu 2 x.yaml data ast.pth
    [[ ${status} == 0 && ${output} == *'ast.pth: already done' ]]
    FAIL=sed.bin.pretrain run "${root}/steps/pretrain.sh" --ngpu 0 --pretrain-args "--lr 2" x.yaml data ast.pth
    [[ ${status} == 2 && ${output} == 'pretrain: bad: sed.bin.pretrain' ]] # a checkpoint of another config
    grep -qx 'sed.bin.pretrain --config x.yaml --lr 2 data ast.pth' "${CALLS}"
    CUDA_VISIBLE_DEVICES=0,1 run "${root}/steps/pretrain.sh" --pretrain-args=--force x.yaml data ast.pth
    [[ ${status} == 0 && ${output} != *'already done'* ]]
    rm ast.pth
    CUDA_VISIBLE_DEVICES=0,1 run "${root}/steps/pretrain.sh" x.yaml data ast.pth
    [[ $(tail -n 1 "${CALLS}") == 'sed.bin.pretrain --config x.yaml data ast.pth' ]]
    mkdir run.1
    run "${root}/steps/pretrain.sh" --ngpu 0 x.yaml data run.1/ast
    [[ -e run.1/ast.log && ! -e run.log ]]
}

@test "train: several nodes, also on CPUs" {
    dump
    # instead of a backend that has nodes: drops --gpu, --nodes, their values and the log's name, and runs the command
    printf '#!/bin/sh\nshift 4\nshift\nexec "$@"\n' >bin/nodes
    chmod +x bin/nodes
    run "${root}/steps/train.sh" --cmd bin/nodes --ngpu 0 --nodes 2 x.yaml dump exp/x
    [[ ${status} == 0 ]]
    [[ $(tail -n 1 "${CALLS}") == 'sed.bin.launch --nproc-per-node 1 -m sed.bin.train --config x.yaml dump exp/x' ]]
}

@test "train: missing input is named" {
    train
    [[ ${status} == 2 && ${output} == *"dump/labels.txt: no such file (run stage 2 first, which dumps the front end ${root}/conf/logmel.yaml)" ]]
    printf 'features: logmel.yaml\n' >y.yaml
    run "${root}/steps/train.sh" --ngpu 0 y.yaml dump/logmel exp/x
    [[ ${status} == 2 && ${output} == *"dump/logmel/labels.txt: no such file"*"dumps the front end ${PWD}/logmel.yaml)" ]]
    dump
    run "${root}/steps/train.sh" --ngpu 0 none.yaml dump exp/x
    [[ ${status} == 2 && ${output} == *'none.yaml: no such config'* && ! -e exp ]]
    run "${root}/steps/train.sh" x.yaml dump
    [[ ${status} == 2 && ${output} == *'usage: steps/train.sh'* ]]
}

@test "of two runs in one folder the second waits for the end of the first" {
    dump
    TRAIN_SECONDS=3 "${root}/steps/train.sh" --ngpu 0 x.yaml dump exp/x >/dev/null 2>&1 3>&- &
    while [[ $(tail -n 1 "${CALLS}") != sed.bin.train* ]]; do sleep 0.1; done
    train
    wait $!
    [[ ${status} == 0 && ${output} == *'another run is using it'* && ${output} == *'already done' ]]
    calls 6
}

@test "infer and score: skipped unless their input has changed" {
    dump
    train
    infer() { run "${root}/steps/infer.sh" --ngpu 0 "$@" dump/strong exp/x exp/x/strong; }
    score() { run "${root}/steps/score.sh" "$@" dump/strong exp/x/strong; }
    score
    [[ ${status} == 2 && ${output} == *'scores.h5: no such file'* ]]
    infer
    score
    [[ ${status} == 0 ]]
    calls 7
    infer
    [[ ${output} == *'already done' ]]
    score
    [[ ${output} == *'already done' ]]
    calls 7
    score --score-args '--threshold 0.4'
    calls 8
    touch -d '+1 hour' exp/x/final.pt dump/strong/{feats.scp,events.tsv} # as after a clock that was wrong
    infer
    score --score-args '--threshold 0.4'
    [[ ${output} == *'already done' ]]
    calls 8
    echo another >exp/x/final.pt
    touch -d '-1 hour' exp/x/final.pt
    infer
    score --score-args '--threshold 0.4'
    calls 10
    infer --infer-args '--which student'
    score
    calls 12
    printf '%s\n' dump/strong --which student >exp/x/strong/.infer # an earlier version's: by times
    touch -d '+2 hours' exp/x/strong/scores.h5
    infer --infer-args '--which student'
    calls 12
    touch -d '+3 hours' exp/x/final.pt
    infer --infer-args '--which student'
    calls 13
    run "${root}/steps/infer.sh" --ngpu 0 dump/strong exp/none exp/none/strong
    [[ ${status} == 2 && ${output} == *'exp/none/final.pt: no such file'* ]]
    run "${root}/steps/infer.sh" --ngpu 0 dump/none exp/x exp/x/none
    [[ ${status} == 2 && ${output} == *'dump/none/feats.scp: no such file'* ]]
}

@test "infer: done again if the config of a packed model has changed, though its weights are the same" {
    dump
    mkdir -p exp/x
    echo weights >exp/x/model.safetensors
    infer() { run "${root}/steps/infer.sh" --ngpu 0 dump/strong exp/x exp/x/strong; }
    echo '{"config": {"class_merge": "max"}}' >exp/x/model.json
    infer
    [[ ${status} == 0 && $(grep -c sed.bin.infer "${CALLS}") == 1 ]]
    infer
    [[ ${output} == *'already done' ]]
    echo '{"config": {"class_merge": "noisy_or"}}' >exp/x/model.json
    infer
    [[ ${status} == 0 && $(grep -c sed.bin.infer "${CALLS}") == 2 ]]
}

@test "score: done again if a file that its options name has changed" {
    dump
    train
    "${root}/steps/infer.sh" --ngpu 0 dump/strong exp/x exp/x/strong
    echo 1 >tuned.json
    score() { run "${root}/steps/score.sh" --score-args "--tuned tuned.json" dump/strong exp/x/strong; }
    score
    calls 7
    score
    [[ ${output} == *'already done' ]]
    echo 2 >tuned.json
    score
    calls 8
}

@test "infer: options that are refused leave the posteriors and their result, unless the model is another" {
    dump
    train
    infer() { run "${root}/steps/infer.sh" --ngpu 0 "$@" dump/strong exp/x exp/x/strong; }
    infer
    echo result >exp/x/strong/result.json
    FAIL=sed.bin.infer infer --infer-args '--bandd 2'
    [[ ${status} == 2 && $(<exp/x/strong/result.json) == result && ! -e exp/x/strong/.before ]]
    calls 7
    infer
    [[ ${output} == *'already done' && -e exp/x/strong/result.json ]]
    infer --infer-args '--band 2'
    [[ ${status} == 0 && ! -e exp/x/strong/result.json && ! -e exp/x/strong/.before ]]
    calls 8
    echo result >exp/x/strong/result.json
    echo another >exp/x/final.pt
    FAIL=sed.bin.infer infer --infer-args '--band 2'
    [[ ${status} == 2 && ! -e exp/x/strong/result.json && ! -e exp/x/strong/.infer ]]
}

@test "score: options that are refused leave the earlier result, unless it is of other scores or labels" {
    dump
    train
    "${root}/steps/infer.sh" --ngpu 0 dump/strong exp/x exp/x/strong
    score() { run "${root}/steps/score.sh" "$@" dump/strong exp/x/strong; }
    score
    echo report >exp/x/strong/report.html
    echo table >exp/x/strong/bootstrap.npz
    (cd exp/x/strong && cat result.json report.html bootstrap.npz .score) >before
    FAIL=sed.bin.score score --score-args '--median Dgo=1'
    [[ ${status} == 2 && ${output} == *'score: bad'* && ! -e exp/x/strong/.earlier ]]
    (cd exp/x/strong && cat result.json report.html bootstrap.npz .score) | diff before -
    calls 8
    score
    [[ ${output} == *'already done' ]]
    score --score-args '--median 1'
    [[ ${status} == 0 && -e exp/x/strong/result.json && ! -e exp/x/strong/report.html && ! -e exp/x/strong/.earlier ]]
    calls 9
    printf 'a.wav\t3\t4\tDog\n' >>dump/strong/events.tsv
    FAIL=sed.bin.score score
    [[ ${status} == 2 && ! -e exp/x/strong/result.json && ! -e exp/x/strong/.score ]]
}

@test "score: done again if the durations have changed, not because an earlier version did not note them" {
    dump
    train
    "${root}/steps/infer.sh" --ngpu 0 dump/strong exp/x exp/x/strong
    score() { run "${root}/steps/score.sh" dump/strong exp/x/strong; }
    score
    calls 7
    printf 'a.wav\t11\n' >>dump/strong/durations.tsv
    score
    calls 8
    score
    [[ ${output} == *'already done' ]]
    sed -i '$d' exp/x/strong/.score # as an earlier version wrote it
    score
    [[ ${output} == *'already done' ]]
    touch -d '+1 hour' dump/strong/durations.tsv
    score
    calls 9
}

@test "pseudo_label: done again if a file that its options name has changed" {
    dump
    train
    echo 1 >tuned.json
    label() { run "${root}/steps/pseudo_label.sh" --ngpu 0 --label-args "--tuned=tuned.json" exp/x dump/strong dump/pseudo; }
    label
    calls 6
    label
    [[ ${output} == *'already done' ]]
    echo 2 >tuned.json
    label
    calls 7
}

@test "pseudo_label: by a packed model; done again if it has changed" {
    dump
    mkdir -p model
    echo 1 >model/model.json
    label() { run "${root}/steps/pseudo_label.sh" --ngpu 0 model dump/strong dump/pseudo; }
    label
    [[ ${status} == 0 && $(tail -n 1 "${CALLS}") == 'sed.bin.pseudo_label --model model dump/strong dump/pseudo' ]]
    label
    [[ ${output} == *'already done' ]]
    echo 2 >model/model.json
    label
    [[ ${output} != *'already done' ]]
}

@test "pseudo_label: done again if the features or the tags of a set have changed" {
    dump
    train
    label() { run "${root}/steps/pseudo_label.sh" --ngpu 0 exp/x dump/strong dump/pseudo; }
    label
    calls 6
    label
    [[ ${output} == *'already done' ]]
    printf 'filename\tevent_labels\na.wav\tCat\n' >dump/strong/tags.tsv
    label
    calls 7
    echo changed >>dump/strong/feats.1.h5
    label
    calls 8
    label
    [[ ${output} == *'already done' ]]
}

@test "pseudo_label: options that are refused leave the labels, unless the model is another" {
    dump
    train
    label() { run "${root}/steps/pseudo_label.sh" --ngpu 0 "$@" exp/x dump/strong dump/pseudo; }
    label
    echo labels >dump/pseudo/pseudo_labels.json
    before=$(wc -l <"${CALLS}")
    FAIL=sed.bin.pseudo_label label --label-args '--thresholdd 0.4'
    [[ ${status} == 2 && -e dump/pseudo/feats.scp && ! -e dump/pseudo/.before ]]
    label
    [[ ${output} == *'already done' ]]
    calls $((before + 1))
    label --label-args '--threshold 0.4'
    [[ ${status} == 0 && ! -e dump/pseudo/.before ]]
    calls $((before + 2))
    label
    [[ ${output} != *'already done' ]]
    echo another >exp/x/final.pt
    FAIL=sed.bin.pseudo_label label
    [[ ${status} == 2 && ! -e dump/pseudo/feats.scp && ! -e dump/pseudo/.asked ]]
}

@test "pseudo_label: a refused set of another kind keeps its features" {
    dump
    train
    cp dump/strong/feats.scp before.scp
    FAIL=sed.bin.pseudo_label run "${root}/steps/pseudo_label.sh" --ngpu 0 exp/x dump/strong dump/strong
    [[ ${status} != 0 ]]
    cmp before.scp dump/strong/feats.scp
}

@test "tune_windows: once, and again if windows.json is gone" {
    dump
    train
    tune_windows() { run "${root}/steps/tune_windows.sh" --ngpu 0 data/strong exp/x; }
    tune_windows
    calls 6
    [[ ${status} == 0 && -e exp/x/windows.json ]]
    tune_windows
    [[ ${output} == *'already done' ]]
    rm exp/x/windows.json
    tune_windows
    calls 7
    printf 'another' >exp/x/final.pt
    touch -t 202001010000 exp/x/windows.json
    FAIL=sed.bin.tune_windows tune_windows
    [[ ${status} != 0 && -e exp/x/windows.json ]]
    NO_WINDOWS=1 tune_windows # those of an earlier model do not stay if none are chosen for this one
    [[ ${status} == 0 && ! -e exp/x/windows.json ]]
}

@test "tune: the file names the set, also if its labels are those of the recordings that its clips were cut from" {
    dump
    train
    mkdir dump/strong/recordings
    touch dump/strong/recordings/windows.tsv
    run "${root}/steps/tune.sh" --ngpu 0 --tune-args "--what 'threshold" dump/strong exp/x tuned.json
    [[ ${status} == 2 && ${output} == *'an unmatched quote in'* && ! -e exp/x/strong ]] # before the inference
    run "${root}/steps/tune.sh" --ngpu 0 --tune-args "--what threshold" dump/strong exp/x tuned.json
    [[ ${status} == 0 ]]
    grep -q 'sed.bin.tune .*--ground-truth dump/strong/recordings/events.tsv .*--set strong --out tuned.json --what threshold$' "${CALLS}"
}

@test "split_soundbank: once; other options and another soundbank are refused, not ignored" {
    split() { run "${root}/steps/split_soundbank.sh" "$@" bank out; }
    mkdir -p bank/train/foreground/Dog && touch bank/train/foreground/Dog/1.wav
    mkdir out && touch out/.done.part # of a killed run
    # without -printf, which macOS's find lacks
    # shellcheck disable=SC2016
    printf '%s\n' '#!/usr/bin/env bash' '[[ "$*" != *-printf* ]] || exit 1' "exec $(command -v find) \"\$@\"" >bin/find
    chmod +x bin/find
    split
    [[ ${status} == 0 ]]
    split
    [[ ${status} == 0 && ${output} == *'out: already done' ]]
    split --share 0.5
    [[ ${status} == 2 && ${output} == *'out: was split with --share 0.25 --seed 0 '*'/bank ('* && ! -e out/.done.part ]]
    run "${root}/steps/split_soundbank.sh" other out
    [[ ${status} == 2 && ${output} == *'out: was split with '*'/bank ('*', not '*'/other ('* ]]
    touch bank/train/foreground/Dog/2.wav
    split
    [[ ${status} == 2 && ${output} == *'out: was split with '*'/bank ('*', not '*'/bank ('* ]]
    rm bank/train/foreground/Dog/2.wav
    run "${root}/steps/split_soundbank.sh" "${PWD}/bank" out
    [[ ${status} == 0 && ${output} == *'out: already done' ]]
    echo "--share 0.25 --seed 0" >out/.done # of an earlier version
    split
    [[ ${status} == 0 && ${output} == *'out: already done' ]]
    : >out/.done # of an earlier version
    split --share 0.5
    [[ ${status} == 0 ]]
    calls 1
}

@test "infer in several jobs: merged only if all are complete, and complete parts are kept" {
    dump
    train
    infer() { run "${root}/steps/infer.sh" --nj 2 --ngpu 0 "$@" dump/strong exp/x exp/x/strong; }
    FAIL=sed.bin.infer infer
    [[ ${status} == 2 && ! -e exp/x/strong/scores.h5 ]]
    printf '# Ended (code 0)\n' >exp/x/strong/log/infer.1.log # as if only the second had failed
    : >"${CALLS}"
    infer
    [[ ${status} == 0 && -e exp/x/strong/scores.h5 && ! -e exp/x/strong/parts ]]
    [[ $(head -n 1 "${CALLS}") == 'sed.bin.infer --model exp/x --part 2/2 dump/strong exp/x/strong/parts/scores.2.h5' ]]
    calls 2
    infer
    [[ ${output} == *'already done' ]]
    echo another >exp/x/final.pt
    FAIL=sed.bin.merge_scores infer
    [[ ${status} == 2 && ! -e exp/x/strong/parts ]] # parts that cannot be merged are computed again
    : >"${CALLS}"
    infer
    calls 3
    echo yet another >exp/x/final.pt
    FAIL=sed.bin.infer infer
    printf '# Ended (code 0)\n' | tee exp/x/strong/log/infer.{1,2}.log >/dev/null # as if both parts were complete
    echo changed >>dump/strong/feats.2.h5
    : >"${CALLS}"
    infer
    calls 3 # both parts are of other features, although feats.scp is the same
}

@test "infer in several jobs: a run killed while it removes the merged parts goes on" {
    dump
    train
    cat >bin/rm <<'END'
#!/usr/bin/env bash
[[ $* == *parts* && -e exp/x/strong/scores.h5 ]] || exec /bin/rm "$@"
kill -9 "${PPID}" # before it removes the note of what the parts are made from, but after the parts
/bin/rm exp/x/strong/parts/*.h5
END
    chmod +x bin/rm
    command=("${root}/steps/infer.sh" --nj 2 --ngpu 0 dump/strong exp/x exp/x/strong)
    run "${command[@]}"
    [[ ${status} == 137 ]]
    /bin/rm bin/rm
    FAIL=sed.bin.merge_scores run "${command[@]}" # it would fail without the parts
    [[ ${status} == 0 && ${output} == *'already done' ]]
}

@test "results: the table and its path are printed" {
    mkdir exp
    run "${root}/steps/results.sh" exp RESULTS.md
    [[ ${status} == 0 && ${output} == *'x       1 of 1'*"${PWD}/RESULTS.md" ]]
}

@test "results: reports and models are named, and the command that uses the newest model" {
    mkdir -p 'my work'/{old,new,failed}/validation
    touch -d '2020-01-01' 'my work'/{old/final.pt,old/validation/report.html}
    touch 'my work'/{new/final.pt,failed/validation/report.html}
    VIRTUAL_ENV='' run "${root}/steps/results.sh" 'my work' RESULTS.md
    [[ ${status} == 0 && ${output} == *"model   ${PWD}/my work/old"$'\n'"report  ${PWD}/my work/old/validation/report.html"* ]]
    [[ ${output} != *failed* && ${output} == *"ast-sed predict --model ${PWD}/my\\ work/new --html page.html RECORDINGS" ]]
    mkdir 'my work'/imported && touch 'my work'/imported/model.json
    run "${root}/steps/results.sh" 'my work' RESULTS.md
    [[ ${output} == *"model   ${PWD}/my work/imported"* && ${output} == *"--model ${PWD}/my\\ work/imported --html"* ]]
    mkdir 'my work'/{1..9} && touch 'my work'/{1..9}/final.pt
    run "${root}/steps/results.sh" 'my work' RESULTS.md
    [[ ${status} == 0 && $(grep -c '^model ' <<<"${output}") == 8 && ${output} == *'... and 4 more models in '* ]]
}

@test "the tagger of mini_desed is made again after a --force that was killed before its features" {
    mkdir -p downloads/pretrain downloads/ast.run
    for clip in a b; do echo "${clip} a.wav"; done >downloads/pretrain/wav.scp
    touch downloads/ast.pth # of the corpus before: synthesize --force has removed its features
    FAIL=sed.bin.pretrain run "${root}/local/mini_desed.sh" downloads
    [[ ${status} == 2 && -s downloads/pretrain/feats.scp && ! -e downloads/ast.pth && ! -e downloads/ast.run ]]
    touch downloads/ast.pth
    run "${root}/local/mini_desed.sh" downloads
    [[ ${status} == 0 && -e downloads/ast.pth ]]
}

@test "every script has a --help that needs no environment" {
    cd /
    for script in "${root}"/egs/*/run.sh "${root}"/steps/*.sh "${root}"/utils/{run,slurm,split_scp,validate_data_dir,bootstrap,pin}.sh; do
        PATH=/usr/bin:/bin run "${script}" --help
        [[ ${status} == 0 && ${output} == *'usage: '* ]] || {
            echo "${script}: ${status} ${output}"
            return 1
        }
    done
    PATH=/usr/bin:/bin run "${root}/egs/mini_desed/run.sh" --help
    [[ ${output} == *'--soundbank DIR'*'--train-args ARGS'* ]]
}
