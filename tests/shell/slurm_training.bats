#!/usr/bin/env bats
# A small training with utils/slurm.sh on a real Slurm: after failures of its job, its node or the queue, the files are
# those of an undisturbed training on this machine.
# bats file_tags=slow

root=$(cd "${BATS_TEST_DIRNAME}/../.." && pwd)
load need_slurm

setup_file() {
    need_slurm
    cd "${BATS_FILE_TMPDIR}" || return 1
    export OMP_NUM_THREADS=1 PYTHONPATH=${root}:${root}/tests/helpers SLURM_POLL=1 RUN_GRACE=3
    python3 - <<'EOF'
from pathlib import Path
import yaml
from tiny_training import TINY, write_dump
write_dump(Path("dump"))
config = {**TINY, "steps_per_epoch": 60, "checkpoint_seconds": 0.0}
Path("tiny.yaml").write_text(yaml.safe_dump(config))
EOF
    printf '%s\n' 'command sbatch --partition=pair' 'option nodes=* --nodes=$0 --ntasks-per-node=1' >pair.conf
    "${root}/steps/train.sh" --ngpu 0 tiny.yaml dump exp/undisturbed >/dev/null 2>&1
}

setup() {
    cd "${BATS_FILE_TMPDIR}" || return 1
    exp=exp/${BATS_TEST_NUMBER} cmd=${root}/utils/slurm.sh nodes=1
}

teardown() {
    [[ -z ${SLURM_CONF-} ]] || scontrol update node=one state=resume 2>/dev/null || true
}

begin() { # begin <n>: train in the background, and return once it has resumed n times
    "${root}/steps/train.sh" --cmd "${cmd}" --ngpu 0 --nodes "${nodes}" tiny.yaml dump "${exp}" >>"${BATS_TEST_TMPDIR}/said" 2>&1 3>&- &
    training=$!
    goes_on "$1"
    job=$(squeue -h -t RUNNING -o %A)
}

goes_on() { # goes_on <n>: wait until the training has resumed n times; 0: until it has a first checkpoint
    for _ in {1..900}; do
        if (($1 > 0)); then
            [[ $(grep -c 'resumed from' "${exp}/train.log") -lt $1 ]] || return 0
        elif compgen -G "${exp}/checkpoints/step-*.pt" >/dev/null || [[ -e ${exp}/.done ]]; then
            return 0
        fi
        sleep 0.1
    done
    cat "${BATS_TEST_TMPDIR}/said"
    return 1
}

stopped() { # the training has failed, and nothing is left in the queue
    local code=0
    wait "${training}" || code=$?
    ((code > 0))
    [[ ! -e ${exp}/.done && -z $(squeue -h -t PENDING,RUNNING) ]]
}

ended_as() { # ended_as <experiment> <times resumed>
    wait "${training}" || {
        cat "${BATS_TEST_TMPDIR}/said"
        return 1
    }
    cmp "$1/final.pt" "${exp}/final.pt"
    [[ $(grep -c 'resumed from' "${exp}/train.log") == "$2" ]]
}

@test "training process killed, then the job cancelled: the same command continues" {
    begin 0
    kill -9 "$(pgrep -f "^python3 -m sed.bin.train .* ${exp}\$")"
    stopped
    begin 1
    scancel "${job}"
    stopped
    grep -q 'stopped by SIGTERM after step .*, checkpoint saved' "${BATS_TEST_TMPDIR}/said"
    begin 2
    ended_as exp/undisturbed 2
}

@test "requeued by scontrol, or by itself on SIGUSR1 near the time limit: the training resumes by itself" {
    begin 0
    scontrol requeue "${job}"
    goes_on 1
    scancel --batch --signal=USR1 "${job}"
    ended_as exp/undisturbed 2
}

@test "preempted: the training writes a checkpoint, ends, and resumes by itself" {
    begin 0
    # stopped, so that a quick machine is not done before the scheduler looks; Slurm ends it by SIGCONT and SIGTERM
    kill -STOP "$(pgrep -f "^python3 -m sed.bin.train .* ${exp}\$")"
    sbatch --partition=urgent --exclusive --output=/dev/null --wrap 'echo done >urgent'
    for _ in {1..300}; do [[ ! -s urgent ]] || break && sleep 0.1; done
    [[ -s urgent ]]
    ended_as exp/undisturbed 1
}

@test "node down, drained, and resumed: the training resumes by itself" {
    begin 0
    scontrol update node=one state=down reason=test
    scontrol update node=one state=resume 2>/dev/null || true # it may be back by itself, and then Slurm refuses
    goes_on 1
    scontrol update node=one state=drain reason=test
    scontrol requeue "${job}"
    sleep 12                       # the scheduler looks every second, and would have started it
    [[ $(squeue -h -o %t) == PD ]] # no node to run on
    scontrol update node=one state=resume
    ended_as exp/undisturbed 2
}

@test "slurmstepd killed: the script does not wait forever" {
    begin 0
    kill -9 "$(pgrep -f "^slurmstepd: .${job}.batch")"
    ended_as exp/undisturbed 0
    grep -q "job ${job} is over by its log but not by Slurm" "${BATS_TEST_TMPDIR}/said"
}

@test "two nodes give the losses of one, also after a requeue" {
    [[ -n $(sinfo -h -p pair -n two -t idle) ]] || skip "this Slurm runs one slurmd per machine"
    cmd+=" --conf ${PWD}/pair.conf" nodes=2
    begin 0
    wait "${training}"
    python3 - exp/undisturbed "${exp}" <<'EOF'
import json, sys
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
losses, states = [], []
for exp in sys.argv[1:]:
    events = EventAccumulator(f"{exp}/tensorboard", size_guidance={"scalars": 0})
    events.Reload()
    losses.append(torch.tensor([e.value for e in events.Scalars("train/loss")]))
    states.append(torch.load(f"{exp}/final.pt", weights_only=True)["teacher"])
assert json.load(open(f"{sys.argv[2]}/info.json"))["processes"] == 2
assert len(losses[0]) == len(losses[1]) == 120  # two epochs of 60 steps
print("losses differ by at most", (losses[0] - losses[1]).abs().max())
assert (losses[0] - losses[1]).abs().max() < 1e-5
assert all(torch.allclose(a, states[1][name], rtol=1e-3, atol=1e-3) for name, a in states[0].items())
EOF
    whole=${exp} exp=exp/requeued
    begin 0
    scancel --batch --signal=USR1 "${job}"
    ended_as "${whole}" 1
}
