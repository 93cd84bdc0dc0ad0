#!/usr/bin/env bats
# A recipe with utils/slurm.sh on a real Slurm: killed, started twice, given impossible paths, on a node that fails.
# bats file_tags=slow

root=$(cd "${BATS_TEST_DIRNAME}/../.." && pwd)
load need_slurm

setup() {
    need_slurm
    cd "${BATS_TEST_TMPDIR}" || return 1
    export SED_BACKEND=slurm SLURM_POLL=1 RUN_GRACE=3 OMP_NUM_THREADS=1 PYTHONPATH=${root}:${root}/tests/helpers
    python3 - <<'EOF'
from pathlib import Path
import yaml
from tiny_training import TINY, write_dump
write_dump(Path("work/dump"))
Path("tiny.yaml").write_text(yaml.safe_dump({**TINY, "steps_per_epoch": 60, "checkpoint_seconds": 0.0}))
EOF
    recipe=("${root}/egs/desed/run.sh" --stage 4 --stop-stage 4 --work "${PWD}/work" --conf "${PWD}/tiny.yaml"
        --systems ast_sed --ngpu 0)
    exp=work/exp/tiny
}

teardown() {
    [[ -z ${SLURM_CONF-} ]] || scontrol update node=one state=resume 2>/dev/null || true
}

goes_on() { # goes_on <n>: until the training has resumed n times; 0: until it has a first checkpoint
    for _ in {1..900}; do
        if (($1 > 0)); then
            [[ $(grep -c 'resumed from' "${exp}/train.log" 2>/dev/null) -lt $1 ]] || return 0
        else
            ! compgen -G "${exp}/checkpoints/step-*.pt" >/dev/null || return 0
        fi
        sleep 0.1
    done
    tail -n 20 said
    return 1
}

nothing_queued() {
    for _ in {1..60}; do
        [[ -n $(squeue -h) ]] || return 0
        sleep 0.5
    done
    squeue
    return 1
}

@test "recipe killed, stopped, or its node down: the job is cancelled, and the same command continues at once" {
    "${recipe[@]}" >said 2>&1 3>&- || {
        tail -n 20 said
        return 1
    }
    mv work/exp whole
    "${recipe[@]}" >said 2>&1 3>&- &
    goes_on 0
    job=$(squeue -h -o %A)
    kill -9 $!
    "${recipe[@]}" >said 2>&1 3>&- & # at once
    goes_on 1
    [[ -n ${job} && $(squeue -h -t RUNNING -o %A) != "${job}" ]]
    job=$(squeue -h -t RUNNING -o %A)
    kill $!
    "${recipe[@]}" >said 2>&1 3>&- &
    goes_on 2
    [[ $(squeue -h -t RUNNING -o %A) != "${job}" ]]
    scontrol update node=one state=down reason=test
    scontrol update node=one state=resume 2>/dev/null || true # it may be back by itself
    wait $!
    cmp whole/tiny/final.pt "${exp}/final.pt"
    nothing_queued
}

@test "of two at once, one trains, and the other waits for its end or is refused in one line" {
    "${recipe[@]}" >said 2>&1 3>&- &
    goes_on 0
    run "${recipe[@]}"
    wait $!
    [[ ${output} == *'another run is using it'* && (${status} == 0 || ${status} == 2) && ${output} != *Traceback* ]]
    [[ -e ${exp}/.done ]]
    nothing_queued
}

@test "impossible paths are refused in one line, and nothing is queued" {
    refused() { # refused <words> <command...>
        run "${@:2}"
        [[ ${status} == 2 && ${output} == *"$1"* && ${output} != *Traceback* ]] || {
            echo "${*:2}: ${status}: ${output}"
            return 1
        }
        nothing_queued
    }
    touch file
    step=("${root}/steps/train.sh" --cmd "${root}/utils/slurm.sh" --ngpu 0)
    refused 'cannot be made' "${step[@]}" tiny.yaml work/dump file/x
    refused 'no such config' "${step[@]}" none.yaml work/dump exp/x
    refused 'no such file' "${step[@]}" tiny.yaml none exp/x
    refused 'cannot be made' "${root}/utils/slurm.sh" file/x.log true
    long=$(printf 'x%.0s' {1..300})
    refused 'cannot be made' "${step[@]}" tiny.yaml work/dump "exp/${long}"
    refused 'no such checkpoint' "${step[@]}" --pretrained "${PWD}/none.pth" tiny.yaml work/dump exp/y
}
