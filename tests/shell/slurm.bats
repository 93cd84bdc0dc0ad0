#!/usr/bin/env bats
# What only utils/slurm.sh does, on a real Slurm if one answers: options of sbatch, and jobs that fail.

slurm_sh=${BATS_TEST_DIRNAME}/../../utils/slurm.sh
load need_slurm

setup() {
    cd "${BATS_TEST_TMPDIR}" || return 1
    export SLURM_POLL=1
}

nothing_queued() {
    for _ in {1..20}; do
        [[ -n $(squeue -h) ]] || return 0
        sleep 0.5
    done
    squeue
    return 1
}

wait_for() {
    for _ in {1..300}; do
        [[ ! -s $1 ]] || return 0
        sleep 0.1
    done
    return 1
}

# A stand-in for sbatch that only prints its arguments.
fake_sbatch() {
    mkdir -p bin
    # shellcheck disable=SC2016
    printf '#!/bin/sh\necho "$@" >asked\necho "sbatch: error: no such partition" >&2\nexit 1\n' >bin/sbatch
    chmod +x bin/sbatch
    PATH=${PWD}/bin:${PATH}
}

@test "options are translated to sbatch's by the conf" {
    fake_sbatch
    printf '%s\n' '# mine' 'command sbatch --account me' 'option gpu=0 --partition=cpu' \
        'option gpu=* --partition=gpu --gres=gpu:$0' 'option mem=* --mem=$0' 'default mem=8G' 'option time=* -t $0' >mine.conf
    run "${slurm_sh}" --conf mine.conf --gpu 2 --time 1:00:00 log/x.log true
    [[ $(<asked) == '--account me --partition=gpu --gres=gpu:2 --mem=8G -t 1:00:00 --parsable '* ]]
    run "${slurm_sh}" --conf mine.conf --mem 1G JOB=2:3 log/x.JOB.log true
    [[ $(<asked) == '--account me --partition=cpu --mem=1G '*'--array=2-3 '* ]]
    [[ ${status} == 2 && ${output} == *'sbatch refused: sbatch: error: no such partition'* ]]
    printf 'option gpu=0\noption time=* -t $0\ndefault time=5' >mine.conf # without a line end
    run "${slurm_sh}" --conf mine.conf log/x.log true
    [[ $(<asked) == '-t 5 --parsable '* ]]
    printf '%s\n' "command sbatch --comment='my job'" 'option gpu=0 --constraint="a|b"' 'option mem=* --mem="$0"' >mine.conf
    run "${slurm_sh}" --conf mine.conf --mem 1G log/x.log true
    [[ $(<asked) == '--comment=my job --constraint=a|b --mem=1G --parsable '* ]]
    printf 'command sbatch --comment="my job\n' >mine.conf
    run "${slurm_sh}" --conf mine.conf log/x.log true
    [[ ${status} == 2 && ${#lines[@]} == 1 && ${output} == *'an unmatched quote in: sbatch --comment="my job' ]]
    printf 'option colour=* --x\n' >mine.conf
    run "${slurm_sh}" --conf mine.conf log/x.log true
    [[ ${status} == 2 && ${output} == 'slurm.sh: mine.conf:1: not understood'* ]]
    printf 'option\n' >mine.conf
    run "${slurm_sh}" --conf mine.conf log/x.log true
    [[ ${status} == 2 && ${output} == 'slurm.sh: mine.conf:1: not understood'* ]]
    printf '# mine\ncommand\n' >mine.conf
    run "${slurm_sh}" --conf mine.conf log/x.log true
    [[ ${status} == 2 && ${output} == 'slurm.sh: mine.conf:2: no command'* ]]
}

@test "the numbers of jobs are given to sbatch as ranges, as it refuses a long list" {
    fake_sbatch
    mkdir -p log
    for job in 3 6; do echo '# Ended (code 0)' >"log/x.${job}.log"; done
    run "${slurm_sh}" --pick incomplete JOB=1:1200 log/x.JOB.log true
    [[ $(<asked) == *'--array=1-2,4-5,7-1200 '* ]]
    run "${slurm_sh}" JOB=7 log/x.JOB.log true
    [[ $(<asked) == *'--array=7 '* ]]
    for job in 1 3; do echo '# Ended (code 0)' >"log/x.${job}.log"; done
    run "${slurm_sh}" --pick incomplete JOB=1:4 log/x.JOB.log true
    [[ $(<asked) == *'--array=2,4 '* ]]
}

@test "a missing sbatch or conf: one line, exit status 2" {
    mkdir -p empty
    for tool in bash dirname basename awk grep env; do ln -s "$(command -v "${tool}")" empty; done
    PATH=${PWD}/empty run "${slurm_sh}" log/x.log true
    [[ ${status} == 2 && ${#lines[@]} == 1 && ${output} == *'no sbatch on PATH'* ]]
    fake_sbatch
    run "${slurm_sh}" --conf none.conf log/x.log true
    [[ ${status} == 2 && ${#lines[@]} == 1 && ${output} == 'slurm.sh: none.conf: no such file'* ]]
}

@test "an unknown partition, or more resources than the cluster has: refused, nothing queued" {
    need_slurm
    printf 'command sbatch --partition=nowhere\n' >mine.conf
    run "${slurm_sh}" --conf mine.conf log/x.log true
    [[ ${status} == 2 && ${output} == *'invalid partition'* ]]
    run "${slurm_sh}" --gpu 3 log/x.log true
    [[ ${status} == 2 && ${output} == *'sbatch refused'* ]]
    nothing_queued
}

@test "a job that does not start is cancelled" {
    need_slurm
    run "${slurm_sh}" --time 10:00:00 log/x.log true # longer than the partition's limit
    [[ ${status} == 2 && ${output} == *'can never start'*'PartitionTimeLimit'* || ${output} == *'sbatch refused'* ]]
    printf 'command sbatch --begin=now+1hour\n' >mine.conf
    run "${slurm_sh}" --conf mine.conf --patience 2 log/x.log true
    [[ ${status} == 2 && ${output} == *'has not started in 2 s'* ]]
    printf 'patience 1\n' >>mine.conf
    run "${slurm_sh}" --conf mine.conf log/x.log true
    [[ ${status} == 2 && ${output} == *'has not started in 1 s'* ]]
    printf 'patience soon\n' >mine.conf
    run "${slurm_sh}" --conf mine.conf log/x.log true
    [[ ${status} == 2 && ${output} == 'slurm.sh: mine.conf:1: patience is seconds'* ]]
    scontrol update node=one state=drain reason=test
    run "${slurm_sh}" --patience 2 log/x.log true
    scontrol update node=one state=resume
    [[ ${status} == 2 && ${output} == *'has not started in 2 s'* ]]
    nothing_queued
}

@test "patience is for jobs that have not started: a job that Slurm requeues later is waited for" {
    mkdir -p bin
    printf '#!/bin/sh\necho 7\n' >bin/sbatch
    printf '#!/bin/sh\ntouch cancelled\n' >bin/scancel
    # The job runs for twelve queries of its state, waits for four, and has then ended.
    # shellcheck disable=SC2016
    printf '%s\n' '#!/bin/sh' 'case "$*" in *"-r "*) echo >>polls ;; esac' 'n=$(wc -l <polls)' \
        '[ "${n}" -lt 17 ] || { echo "# Ended (code 0)" >log/x.log && exit 0; }' \
        'case "$*" in *PENDING*) [ "${n}" -lt 13 ] || echo Priority ;; *RUNNING*) [ "${n}" -gt 12 ] || echo R ;; *) echo R ;; esac' \
        >bin/squeue
    chmod +x bin/*
    PATH=${PWD}/bin:${PATH} SLURM_POLL=0.2 run "${slurm_sh}" --patience 1 log/x.log true
    [[ ${status} == 0 && ! -e cancelled ]]
}

@test "jobs get the GPUs that Slurm gives them" {
    need_slurm
    # each job keeps its GPU until the other has one, too, however long a busy machine takes to start it
    "${slurm_sh}" --gpu 1 JOB=1:2 log/x.JOB.log bash -c \
        'echo "gpu ${CUDA_VISIBLE_DEVICES}"; touch here.JOB; for i in {1..300}; do [[ ! -e here.1 || ! -e here.2 ]] || break; sleep 0.1; done'
    [[ $(cat log/x.{1,2}.log | grep '^gpu' | sort | paste -sd ' ') == 'gpu 0 gpu 1' ]]
}

@test "when the script has ended, no process of it holds the caller's lock, and the whole log was shown" {
    need_slurm
    exec {lock}>>lock
    flock -n "${lock}"
    "${slurm_sh}" log/x.log seq 3 2>said 3>&-
    exec {lock}>&-
    flock -n lock true
    [[ $(<said) == $'1\n2\n3' ]]
}

@test "a requeued job is waited for, and its second run counts" {
    need_slurm
    "${slurm_sh}" log/x.log bash -c 'echo run >>runs; [ $(wc -l <runs) -gt 1 ] || exec sleep 100' 3>&- &
    wait_for runs
    scontrol requeue "$(squeue -h -o %A)"
    wait $!
    [[ $(tail -n 1 log/x.log) == '# Ended (code 0)' && $(wc -l <runs) == 2 ]]
}

# bats test_tags=slow
@test "near its time limit a job requeues itself" {
    need_slurm
    printf '%s\n' 'command sbatch --requeue --signal=B:USR1@45' 'option time=* --time=$0' >mine.conf
    "${slurm_sh}" --conf mine.conf --time 1 log/x.log bash -c 'echo run >>runs; [ $(wc -l <runs) -gt 1 ] || exec sleep 100'
    [[ $(tail -n 1 log/x.log) == '# Ended (code 0)' && $(wc -l <runs) == 2 ]]
}

@test "of several jobs, only the one that gets SIGUSR1 requeues itself" {
    need_slurm
    "${slurm_sh}" JOB=1:2 log/x.JOB.log bash -c 'echo JOB >>runs; until [ $(grep -c 2 runs) -gt 1 ]; do sleep 0.2; done' 3>&- &
    for _ in {1..100}; do [[ $(wc -l <runs 2>/dev/null) != 2 ]] || break && sleep 0.1; done
    scancel --batch --signal=USR1 "$(squeue -h -o %F | head -n 1)_2" # its job's number is the array's
    wait $!
    [[ $(sort runs | paste -sd ' ') == '1 2 2' && $(tail -n 1 log/x.2.log) == '# Ended (code 0)' ]]
}

@test "a cancelled job fails, and is run again by --pick incomplete" {
    need_slurm
    "${slurm_sh}" JOB=1:2 log/x.JOB.log bash -c 'echo JOB >>ran; [ JOB = 1 ] || exec sleep 100' 2>said 3>&- &
    for _ in {1..100}; do [[ $(wc -l <ran 2>/dev/null) != 2 ]] || break && sleep 0.1; done
    scancel --state=RUNNING -u "$(id -un)"
    status=0
    wait $! || status=$?
    ((status > 0))
    grep -q 'log/x.2.log\|ended without a status' said
    run "${slurm_sh}" --pick incomplete JOB=1:2 log/x.JOB.log bash -c 'echo JOB >>ran'
    [[ ${status} == 0 && $(grep -c 2 ran) == 2 && $(grep -c 1 ran) == 1 ]]
}

@test "of jobs that never started, each is named as Slurm names it, with its log" {
    need_slurm
    scontrol update node=one state=drain reason=test
    "${slurm_sh}" JOB=1:2 log/x.JOB.log true 2>said 3>&- &
    for _ in {1..100}; do [[ -z $(squeue -h -r) ]] || break && sleep 0.1; done
    id=$(squeue -h -o %F | head -n 1)
    scancel "${id}"
    ! wait $! || false
    scontrol update node=one state=resume
    grep -q "^slurm.sh: job ${id}_1 ended without a status in its log: Slurm says CANCELLED" said
    grep -q "^slurm.sh: job ${id}_2 ended without a status" said
    [[ $(grep -c 'the log is log/x.[12].log' said) == 2 ]]
}

@test "jobs are cancelled if the script is killed by SIGKILL" {
    need_slurm
    "${slurm_sh}" log/x.log bash -c 'echo up >started; exec sleep 100' 3>&- &
    wait_for started
    kill -9 $!
    ! wait $! || false
    nothing_queued
}
