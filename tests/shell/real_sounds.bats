#!/usr/bin/env bats
# egs/real_sounds and steps/sweep.sh, with a stand-in for python3 that writes the output files of each entry point: from
# which checkpoints experiments are trained, which are skipped, effects of a failure, refused options.

root=$(cd "${BATS_TEST_DIRNAME}/../.." && pwd)
recipe=${root}/egs/real_sounds/run.sh

setup() {
    cd "${BATS_TEST_TMPDIR}" || return 1
    export CALLS=${BATS_TEST_TMPDIR}/calls SED_BACKEND=local PYTHONPATH=${root}
    REAL_PYTHON=$(command -v python3)
    export REAL_PYTHON
    unset CUDA_VISIBLE_DEVICES OMP_NUM_THREADS
    mkdir -p bin bank
    cat >bin/python3 <<END
#!/usr/bin/env bash
[[ "\$*" != *sys.executable* ]] || { echo "${PWD}/bin" && exit; } # the environment that path.sh looks for
[[ "\$*" != *cuInit* || -z \${MPS_WORKS-} ]] || exit 0
[[ \$1 == -m ]] || exec "$(command -v python3)" "\$@"
END
    cat >>bin/python3 <<'END'
[[ $2 != sed.bin.experiments ]] || exec "${REAL_PYTHON}" "$@"
[[ $2 != sed.bin.train || ! -e ${*: -1}/.done ]] || exit 0 # trained: it says so, or refuses another config
echo "${*:2} @${CUDA_VISIBLE_DEVICES-}" >>"${CALLS}"
echo "${CUDA_MPS_PIPE_DIRECTORY:+mps }${SED_GPU_SHARERS-}" >>"${CALLS}.shared"
last=${*: -1} sets=()
case $2 in
    sed.bin.pretrain | sed.bin.train | sed.bin.infer | sed.bin.score) [[ -z ${FAIL-} || "$*" != *${FAIL}* ]] || { echo "bad: ${FAIL}" >&2; exit 1; } ;;
esac
case $2 in
    sed.bin.train)
        sleep "${TRAIN_SECONDS:-0}"
        while [[ $1 != --pretrained && $# -gt 1 ]]; do shift; done
        [[ $# -eq 1 || $2 == none || $2 == *.pth || -e $2/final.pt ]] || { echo "$2: no such model" >&2; exit 2; }
        touch "${last}"/{final.pt,.done}
        ;;
    sed.bin.pretrain)
        while [[ -n ${CUDA_VISIBLE_DEVICES-} && ! -e ${CALLS}.enough ]]; do sleep 0.1; done # on a GPU it lasts until the test lets it end
        touch "${last}"
        ;;
    sed.bin.pseudo_label) touch "${last}/feats.scp" ;;
    sed.bin.split_soundbank) mkdir -p "${last}" ;;
    sed.bin.infer) touch "${last}" ;;
    sed.bin.score) while [[ $1 != --out ]]; do shift; done && touch "$2" ;;
    sed.bin.figure3) [[ $* != *--list* ]] || echo '0 20 600' ;;
    local.real_sounds.report) echo '# Results' >"${last}" ;;
esac
END
    chmod +x bin/python3
    PATH=${BATS_TEST_TMPDIR}/bin:${PATH}
    for set in work/dump/{strong_real,weak,unlabelled,validation} work/dump/logmel_crnn/{strong_real,validation}; do
        mkdir -p "${set}" && touch "${set}"/{feats.scp,events.tsv,durations.tsv}
    done
    touch work/dump/labels.txt work/dump/logmel_crnn/labels.txt
    printf 'a\tx.yaml\twork/dump\t--seed 1\nb\tx.yaml\twork/dump\t--seed 2\nc\tx.yaml\twork/dump\t\n' >list.tsv
    touch x.yaml
}

calls() { # calls <pattern>: print the number of matching calls of the stand-in so far
    grep -c -- "$1" "${CALLS}" || true
}

sweep() {
    run "${root}/steps/sweep.sh" --ngpu 0 "$@" list.tsv exp
}

@test "a sweep trains the experiments of its list, and nothing the second time" {
    sweep --jobs 2 --train-args "--epochs 1" train
    [[ ${status} == 0 && ${output} == *'(3 of 3)'* ]]
    grep -q '^sed.bin.train --config x.yaml --epochs 1 --seed 2 work/dump exp/b @$' calls
    [[ $(calls sed.bin.train) == 3 ]]
    sweep --jobs 3 --train-args "--epochs 1" train
    [[ ${status} == 0 && $(calls sed.bin.train) == 3 && ${output} == *'a (1 of 3): already done'* ]]
}

@test "blank lines of a list are skipped, and its last line needs no line end" {
    printf '\na\tx.yaml\twork/dump\t--seed 1\n\nb\tx.yaml\twork/dump\t--seed 2' >list.tsv
    sweep train
    [[ ${status} == 0 && $(calls sed.bin.train) == 2 && -e exp/b/.done && ${output} == *'(2 of 2)'* ]]
}

@test "an experiment that fails stops no other, and only that one is trained again" {
    FAIL=exp/a sweep --jobs 1 train
    [[ ${status} == 1 && ${output} == *'bad: exp/a'* && ${output} == *'failed: a' ]]
    [[ -e exp/b/.done && -e exp/c/.done && ! -e exp/a/.done ]]
    sweep --jobs 1 train
    [[ ${status} == 0 && $(calls sed.bin.train) == 4 ]]
}

@test "an experiment that starts from another waits for its end, even if that fails" {
    printf '%s\tx.yaml\twork/dump\t--seed %s\n' a 1 >list.tsv
    printf 'b\tx.yaml\twork/dump\t--pretrained exp/a\ta\nc\tx.yaml\twork/dump\t--pretrained exp/b\tb\n' >>list.tsv
    TRAIN_SECONDS=0.5 sweep --jobs 3 train
    [[ ${status} == 0 && -e exp/b/.done && -e exp/c/.done ]]
    rm -r exp
    FAIL="dump exp/a" sweep --jobs 3 train
    [[ ${status} == 1 && ${output} == *'failed: a b c' && ${output} == *'exp/a: no such model'* ]]
}

@test "an experiment without options of its own waits for the one that must end first" {
    printf 'a\tx.yaml\twork/dump\t\t\nb\tx.yaml\twork/dump\t\ta\n' >list.tsv
    TRAIN_SECONDS=0.5 sweep --jobs 2 train
    [[ ${status} == 0 && ${output} == *' train a '*' train b '* ]]
    grep -q '^sed.bin.train --config x.yaml work/dump exp/b @$' calls
}

@test "experiments are spread over the GPUs" {
    CUDA_VISIBLE_DEVICES=3,5 run "${root}/steps/sweep.sh" --ngpu 2 --jobs 2 train list.tsv exp
    [[ ${status} == 0 && $(calls '@3$') -ge 1 && $(calls '@5$') -ge 1 && $(calls '@$') == 0 ]]
    CUDA_VISIBLE_DEVICES=3 run "${root}/steps/sweep.sh" --ngpu 2 train list.tsv exp
    [[ ${status} == 2 && ${output} == *'--ngpu 2: this machine has 1'* ]]
}

@test "experiments share a GPU by MPS if that works, else by turns" {
    cat >bin/nvidia-cuda-mps-control <<'END'
#!/usr/bin/env bash
if [[ $1 == -d ]]; then echo "start ${CUDA_VISIBLE_DEVICES-all}" >>"${CALLS}.mps"; else cat >>"${CALLS}.mps"; fi
END
    printf '#!/usr/bin/env bash\necho "GPU-${*: -1}"\n' >bin/nvidia-smi
    chmod +x bin/nvidia-cuda-mps-control bin/nvidia-smi
    export CUDA_VISIBLE_DEVICES=3,5
    shared() { # shared <name> <what its three trainings see> <input of the daemon> <option...>
        run "${root}/steps/sweep.sh" --ngpu 2 "${@:4}" train list.tsv "$1"
        [[ ${status} == 0 && $(sort -u calls.shared) == "$2" && $(cat calls.mps 2>/dev/null || true) == "$3" && ${output} != *Killed* ]] || {
            echo "$1: ${status}: ${output}; $(cat calls.shared calls.mps)"
            return 1
        }
        rm -f calls.shared calls.mps
    }
    MPS_WORKS=yes shared together 'mps 2' $'start GPU---id=3,GPU---id=5\nquit -t 10' --jobs 3
    shared broken '' $'start GPU---id=3,GPU---id=5\nquit -t 10' --jobs 3
    [[ ${output} == *'MPS does not work here'* ]]
    MPS_WORKS=yes shared alone '' '' --jobs 2
    MPS_WORKS=yes shared unwanted '' '' --jobs 3 --mps false
    CUDA_MPS_PIPE_DIRECTORY=theirs shared theirs 'mps 2' '' --jobs 3
}

@test "posteriors are inferred once, and scored again with other options in another folder" {
    sweep train
    printf 'a/boxes\tx.yaml\twork/dump\t--post-processing csebbs\n' >>list.tsv
    sweep score
    [[ ${status} == 0 && -e exp/a/validation/result.json && -e exp/a/boxes/result.json ]]
    [[ $(calls sed.bin.infer) == 3 && $(calls sed.bin.score) == 4 ]]
    grep -q -- '--out exp/a/boxes/result.json --no-report --post-processing csebbs' calls
    sweep --jobs 2 score
    [[ ${status} == 0 && $(calls sed.bin.infer) == 3 && $(calls sed.bin.score) == 4 ]]
}

@test "a sweep says how long the rest takes, once one experiment has run" {
    TRAIN_SECONDS=2 sweep --jobs 1 train
    [[ ${output} =~ a\ \(1\ of\ 3\):\ [2-9]\ s,\ about\ 0:00:(0[4-9]|1[0-9])\ left && ${output##*c (3 of 3)} != *left* ]]
    rm -r exp/c
    TRAIN_SECONDS=0 sweep --jobs 1 train # those that were done already do not count
    [[ ${status} == 0 && ${output} != *left* ]]
}

@test "a sweep scores each experiment as soon as it is trained, and nothing the second time" {
    sweep --jobs 1 --score true train
    [[ ${status} == 0 && ${output} == *'train and score c (3 of 3)'* && -e exp/a/validation/result.json && -e exp/c/validation/result.json ]]
    [[ $(grep -n -- 'sed.bin.score.*exp/a/' calls | cut -d: -f1) -lt $(grep -n 'sed.bin.train.*exp/b' calls | cut -d: -f1) ]]
    ! grep -q -- 'sed.bin.score.*--seed' calls || false # that is an option of the training
    sweep --score true train
    [[ ${status} == 0 && ${output} == *'a (1 of 3): already done'* && $(calls sed.bin.train) == 3 && $(calls sed.bin.score) == 3 ]]
    cut -f 1-3 list.tsv >scores.tsv # as steps/experiments.sh lists them
    run "${root}/steps/sweep.sh" --ngpu 0 score scores.tsv exp
    [[ ${status} == 0 && $(calls sed.bin.infer) == 3 && $(calls sed.bin.score) == 3 ]]
}

@test "a sweep that is to score on a set that the dump lacks says so before it trains" {
    sweep --score true --test-set no_set train
    [[ ${status} == 1 && ${output} == *'work/dump/no_set/feats.scp: no such file (--test-set'* && ! -e exp/a ]]
}

@test "a folder for other options of scoring is not that of the posteriors" {
    sweep --score true train
    echo posteriors >exp/a/validation/scores.h5
    printf 'a/validation\tx.yaml\twork/dump\t--raw\n' >list.tsv
    sweep score
    [[ ${status} == 1 && ${output} == *'a/validation: has the posteriors'* ]]
    [[ $(<exp/a/validation/scores.h5) == posteriors ]]
}

@test "a sweep scores with the outermost number of OMP_NUM_THREADS, which may be a list" {
    OMP_NUM_THREADS=3,2 sweep --score true train
    [[ ${status} == 0 && $(calls 'sed.bin.score.*--jobs 3 ') == 3 ]]
}

@test "a sweep refuses wrong options in one line" {
    sweep tune
    [[ ${status} == 2 && ${#lines[@]} == 1 && ${output} == *"'tune' is none of pretrain, train, score, label"* ]]
    run "${root}/steps/sweep.sh" train missing.tsv exp
    [[ ${status} == 2 && ${#lines[@]} == 1 && ${output} == *'missing.tsv: no such file'* ]]
    : >list.tsv
    sweep train
    [[ ${status} == 2 && ${output} == *'list.tsv: empty'* ]]
    run "${root}/steps/sweep.sh" --ngpu 0 train - exp </dev/null
    [[ ${status} == 0 && -z ${output} && ! -e exp ]]
}

@test "the recipe refuses wrong options in one line, and writes nothing" {
    expect() { # expect <what it says> <option...>
        run "${recipe}" "${@:2}"
        [[ ${status} == 2 && ${#lines[@]} == 1 && ${output} == *"$1"* ]] || {
            echo "$*: ${status}: ${output}"
            return 1
        }
    }
    expect "--soundbank '': no such folder" --work new
    expect "--soundbank 'nowhere': no such folder" --soundbank nowhere --work new
    expect "--pretrained 'nowhere.pth': no such file" --soundbank bank --pretrained nowhere.pth --work new
    expect "--scale -1" --soundbank bank --scale -1 --work new
    expect "--scale 0.0: a number above 0" --soundbank bank --scale 0.0 --work new
    expect "at least 1" --soundbank bank --jobs 0 --work new
    expect "nothing_such: no such config" --soundbank bank --systems "ast_gru nothing_such" --work new
    expect "nothing_such: no such config" --soundbank bank --boxes "ast_gru nothing_such" --work new
    expect "unknown option '--seed'" --soundbank bank --seed 1 --work new
    expect "--stage is a whole number" --soundbank bank --stage two --work new
    expect "--stage is at most --stop-stage and 5" --soundbank bank --stage 6 --work new
    expect "--stage is at most --stop-stage and 5" --soundbank bank --stage 3 --stop-stage 2 --work new
    expect "usage" --soundbank bank more --work new
    [[ ! -e new ]]
    run "${root}/egs/real_sounds/tune.sh" --soundbank . --public 0 --work new --out new
    [[ ${status} == 2 && ${output} == *'--public is at least 1'* && ! -e new ]]
    run "${root}/egs/real_sounds/tune.sh" --soundbank nowhere --work new --out new
    [[ ${status} == 2 && ${#lines[@]} == 1 && ${output} == *"--soundbank 'nowhere': no such folder"* && ! -e new ]]
}

@test "the recipe's help is its header" {
    run "${recipe}" --help
    [[ ${status} == 0 && ${output} == *'usage: egs/real_sounds/run.sh --soundbank DIR'* && ${output} == *'--public N'* ]]
}

@test "a config starts from the checkpoint that it names, of the same seed" {
    run "${recipe}" --work work --ngpu 0 --nj 1 --jobs 2 --seeds "1 2" --stage 3 --systems "crnn crnn_pretrained ast_gru ast_sed fte_augmented" --more "ratio_2 fte_second fte_pseudo fte_best" --boxes "ast_sed fte_best"
    echo "${output}"
    [[ ${status} == 0 && -s work/RESULTS.md ]]
    # nine configs with two seeds each; the labels of fte_pseudo for each seed
    [[ $(calls sed.bin.train) == 18 && $(calls sed.bin.pseudo_label) == 2 ]]
    # besides those 18: the first seed of five systems on training clips, and AST-GRU with its one band
    [[ $(calls sed.bin.infer) == 24 && $(calls 'sed.bin.infer .* --band 0') == 1 ]]
    # besides those 24: two seeds of two systems with bounding boxes
    [[ $(calls sed.bin.score) == 28 && $(calls 'sed.bin.score .*csebbs') == 4 ]]
    of() { grep -- " ${PWD}/work/exp/$1 @" calls | grep sed.bin.train; }
    [[ $(of crnn_seed1) == *"--pretrained none"* ]]
    [[ $(of crnn_pretrained_seed1) == *"--pretrained ${PWD}/work/downloads/pretrain_crnn.pth"* ]]
    of crnn_seed1 | grep -q "${PWD}/work/dump/logmel_crnn "
    of ratio_2_seed2 | grep -q -- "--seed 2 --pretrained ${PWD}/work/downloads/ast.pth "
    of fte_second_seed2 | grep -q -- "--pretrained ${PWD}/work/exp/fte_augmented_seed2 "
    of fte_pseudo_seed2 | grep -q -- "--train-sets strong_real,strong_synth,pseudo_seed2,weak,unlabelled "
    of fte_best_seed2 | grep -q -- "--pretrained ${PWD}/work/exp/fte_pseudo_seed2 "
    before=$(wc -l <calls)
    run "${recipe}" --work work --ngpu 0 --nj 1 --jobs 2 --seeds "1 2" --stage 3 --systems "crnn crnn_pretrained ast_gru ast_sed fte_augmented" --more "ratio_2 fte_second fte_pseudo fte_best" --boxes "ast_sed fte_best"
    [[ ${status} == 0 ]]
    [[ $(tail -n +$((before + 1)) calls) != *sed.bin.@(train|pseudo_label|infer|score)* ]]
}

@test "without --boxes, bounding boxes are scored for the trained ones of the systems that tune.sh tunes" {
    run "${recipe}" --work work --ngpu 0 --seeds 1 --stage 3 --systems "ast_gru fte_long" --more none
    echo "${output}"
    [[ ${status} == 0 && $(calls 'sed.bin.score .*csebbs') == 1 ]]
    grep -q "sed.bin.score .*csebbs.*${PWD}/work/exp/ast_gru_seed1" calls
}

@test "tune.sh refuses an unknown system before it pre-trains" {
    run "${root}/egs/real_sounds/tune.sh" --soundbank bank --systems "ast_gru nothing_such" --ngpu 0 --work tuning --out tuning
    [[ ${status} == 2 && ${output} == *'nothing_such: no such config'* && $(calls sed.bin.pretrain) == 0 ]]
}

@test "tune.sh's settings are used for the labels that they were tuned for only" {
    mkdir -p work/exp/ast_gru_seed1 && touch work/exp/ast_gru_seed1/final.pt
    for labels in 'Dog\nPub\n' 'Dog\n'; do
        # shellcheck disable=SC2059 # the labels end lines
        printf "${labels}" >work/dump/labels.txt
        run "${recipe}" --work work --ngpu 0 --seeds 1 --stage 5 --systems ast_gru --more none --force
        [[ ${status} == 0 ]]
    done
    [[ $(calls 'sed.bin.score .*--post-processing csebbs') == 2 && $(calls 'sed.bin.score .*--tuned') == 0 ]]
    "${REAL_PYTHON}" -c 'import json, sys; print(*json.load(open(sys.argv[1]))["csebbs"], sep="\n")' \
        "${root}/egs/real_sounds/tuning/csebbs/ast_gru.json" >work/dump/labels.txt
    run "${recipe}" --work work --ngpu 0 --seeds 1 --stage 5 --systems ast_gru --more none --force
    [[ ${status} == 0 && $(calls 'sed.bin.score .*--tuned') == 1 ]]
}

@test "with --rates a config is trained with each pair, each under its own name" {
    run "${recipe}" --work work --ngpu 0 --seeds 1 --stage 3 --stop-stage 4 --systems ast_gru --more none --rates "1e-3:1e-4 3e-3:1e-4"
    [[ ${status} == 0 && $(calls sed.bin.train) == 2 ]]
    grep -q -- "--lr 3e-3 --encoder-lr 1e-4 ${PWD}/work/dump ${PWD}/work/exp/ast_gru_lr3e-3_1e-4_seed1 @" calls
}

@test "with --vary a config is trained with each combination of values, those of the protocol under its own name" {
    run "${recipe}" --work work --ngpu 0 --seeds 1 --stage 3 --stop-stage 4 --systems ast_gru --more none \
        --vary "clip_pooling=linear_softmax,attention frozen_epochs=0,6"
    echo "${output}"
    [[ ${status} == 0 && $(calls sed.bin.train) == 4 ]]
    grep -q -- "--clip-pooling attention --frozen-epochs 6 .*/exp/ast_gru_clip_pooling_attention_frozen_epochs_6_seed1 @" calls
    grep -q "/exp/ast_gru_seed1 @" calls
}

@test "stage 0 makes the corpus at the given scale, and pre-trains unless there is an AST" {
    run "${recipe}" --soundbank bank --work work --scale 0.1 --ngpu 0 --stop-stage 0 --more crnn_pretrained
    echo "${output}"
    [[ ${status} == 0 && -e work/downloads/ast.pth && -e work/downloads/pretrain_crnn.pth ]]
    [[ $(calls sed.bin.pretrain) == 2 ]] # the encoders of the AST systems, and of the CRNN
    grep -q -- '--strong-real 150 --synthetic 1000 --weak 150 --unlabelled 1200 --validation 117 --public 0' calls
    grep -q "local.real_sounds.soundbank ${PWD}/work/downloads/sources.json ${PWD}/work/results" calls
    grep sed.bin.pretrain calls | grep -q -- "--ast-dim .* ${PWD}/bank ${PWD}/work/downloads/ast.pth"
    touch other.pth
    run "${recipe}" --soundbank bank --work work --scale 0.1 --ngpu 0 --stop-stage 0 --pretrained other.pth
    [[ ${status} == 0 && $(calls sed.bin.pretrain) == 2 ]]
    run "${recipe}" --soundbank bank --work work --scale 0.1 --ngpu 0 --stop-stage 0 --systems "ast_sed" --more "fdy_crnn sk_crnn"
    [[ ${status} == 0 && -e work/downloads/pretrain_fdy_crnn.pth && ${output} == *'pretrain ast (1 of 3): already done'* ]]
    [[ $(calls sed.bin.pretrain) == 5 ]] # the AST's only checks that its config is the same
    grep sed.bin.pretrain calls | grep -q -- "--config conf/real_sounds/pretrain_sk_crnn.yaml .* ${PWD}/bank ${PWD}/work/downloads/pretrain_sk_crnn.pth"
}

@test "a scale other than 1 has a folder of its own" {
    touch other.pth
    for scale in 10 1.00; do
        run "${recipe}" --soundbank bank --scale "${scale}" --ngpu 0 --stop-stage 0 --pretrained other.pth
        [[ ${status} == 0 ]]
    done
    grep -q -- "--strong-real 15000 .* ${root}/egs/real_sounds/scale_10/downloads @" calls
    grep -q -- "--strong-real 1500 .* ${root}/egs/real_sounds/downloads @" calls
}

@test "mini_desed asks the dump and the pre-training whether what is there is of the given configs" {
    mkdir -p work/pretrain && touch work/ast.pth work/pretrain/feats{,.1}.scp
    run "${root}/local/mini_desed.sh" --feature-conf f.yaml --pretrain-conf x.yaml work
    [[ ${status} == 0 && $(calls "sed.bin.dump_features --config f.yaml") == 1 ]]
    [[ $(calls "sed.bin.pretrain --device cpu --config x.yaml work/pretrain work/ast.pth") == 1 ]]
    FAIL=sed.bin.pretrain run "${root}/local/mini_desed.sh" --pretrain-conf y.yaml work
    [[ ${status} == 1 && ${output} == *'bad: sed.bin.pretrain'* ]]
}

@test "a GPU pre-trains beside the next stages, ends with the recipe, and is waited for before training" {
    mkdir -p work/downloads/metadata
    export CUDA_VISIBLE_DEVICES=0
    run "${recipe}" --soundbank bank --work work --ngpu 1 --stop-stage 3 --systems ast_gru --seeds 1
    echo "${output}"
    [[ ${status} == 2 && ${output} == *"none of DESED's sets is there"* ]] # stage 1, while stage 0 pre-trained
    [[ ! -e work/downloads/ast.pth ]]                                      # it was stopped with the recipe
    (sleep 2 && touch "${CALLS}.enough") &
    run "${recipe}" --soundbank bank --work work --ngpu 1 --stop-stage 0
    [[ ${status} == 0 && -e work/downloads/ast.pth ]]
    rm work/downloads/ast.pth
    FAIL=sed.bin.pretrain run "${recipe}" --soundbank bank --work work --ngpu 1 --stop-stage 0
    [[ ${status} == 1 && ${output} == *'bad: sed.bin.pretrain'* ]]
}
