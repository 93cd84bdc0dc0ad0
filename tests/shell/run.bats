#!/usr/bin/env bats
# utils/run.sh: shares the machine's GPUs and cores, ends its jobs when it is killed, and refuses wrong log folders.

run_sh=${BATS_TEST_DIRNAME}/../../utils/run.sh

setup() {
    cd "${BATS_TEST_TMPDIR}" || return 1
}

@test "jobs share the GPUs that are visible" {
    CUDA_VISIBLE_DEVICES=4,5 run "${run_sh}" --gpu 1 JOB=1:3 log/x.JOB.log bash -c 'echo "gpu ${CUDA_VISIBLE_DEVICES}"'
    [[ ${status} == 0 ]]
    [[ $(cat log/x.{1,2,3}.log | grep '^gpu' | paste -sd ' ') == 'gpu 4 gpu 5 gpu 4' ]]
}

@test "more GPUs than there are, or more machines than one, are refused" {
    CUDA_VISIBLE_DEVICES=4,5 run "${run_sh}" --gpu 3 log/x.log true
    [[ ${status} == 2 && ${output} == *'wants 3 GPU(s), this machine has 2'* ]]
    run "${run_sh}" --nodes 2 log/x.log true
    [[ ${status} == 2 && ${output} == *'this machine is one'* ]]
}

@test "GPUs that are hidden, or whose driver fails, do not count" {
    mkdir bin
    printf '%s\n' '#!/usr/bin/env bash' '[[ -z ${FAILS-} ]] || { echo "No devices were found" && exit 6; }' 'echo 0' >bin/nvidia-smi
    chmod +x bin/nvidia-smi
    PATH=${PWD}/bin:${PATH}
    unset CUDA_VISIBLE_DEVICES
    run "${run_sh}" --gpu 1 log/x.log true
    [[ ${status} == 0 ]]
    FAILS=yes run "${run_sh}" --gpu 1 log/x.log true
    [[ ${status} == 2 && ${output} == *'wants 1 GPU(s), this machine has 0'* ]]
    for hidden in '' -1 NoDevFiles; do # CUDA ignores a device that does not exist, and all after it
        CUDA_VISIBLE_DEVICES=${hidden} run "${run_sh}" --gpu 1 log/x.log true
        [[ ${status} == 2 && ${output} == *'this machine has 0'* ]]
    done
    CUDA_VISIBLE_DEVICES=2,GPU-8932f937,-1,3 run "${run_sh}" --gpu 3 log/x.log true
    [[ ${status} == 2 && ${output} == *'this machine has 2'* ]]
}

@test "the jobs share the cores, unless OMP_NUM_THREADS is set" {
    unset OMP_NUM_THREADS
    "${run_sh}" JOB=1:2 log/x.JOB.log bash -c 'echo "threads ${OMP_NUM_THREADS}"'
    cores=$(nproc)
    grep -qx "threads $((cores > 2 ? cores / 2 : 1))" log/x.1.log
    OMP_NUM_THREADS=7 "${run_sh}" log/x.log bash -c 'echo "threads ${OMP_NUM_THREADS}"'
    grep -qx 'threads 7' log/x.log
}

@test "a job is killed after a second signal, or after RUN_GRACE" {
    for grace in 1 1000; do
        rm -f started
        RUN_GRACE=${grace} "${run_sh}" log/x.log bash -c 'trap "" TERM; echo up >started; while :; do sleep 0.1; done' 2>said 3>&- &
        while [[ ! -e started ]]; do sleep 0.1; done
        kill $!
        if ((grace > 1)); then
            until grep -q 'stopping the jobs (a second signal kills them)' said; do sleep 0.1; done
            sleep 0.5 # until the first signal has reached the job
            kill $!
        fi
        ! wait $! || false
        [[ $(tail -n 1 log/x.log) == '# Ended (code 137)' ]]
    done
}

@test "jobs end if the script is killed by SIGKILL" {
    "${run_sh}" log/x.log bash -c 'echo $$ >started; exec sleep 100' 3>&- &
    while [[ ! -s started ]]; do sleep 0.1; done
    kill -9 $!
    ! wait $! || false
    for ((i = 0; i < 50; i++)); do
        kill -0 "$(<started)" 2>/dev/null || return 0
        sleep 0.1
    done
    return 1
}

@test "a folder that cannot be written is reported" {
    touch file
    run "${run_sh}" file/log/x.log true
    [[ ${status} == 2 && ${output} == *'cannot be made'* ]]
}

@test "a folder called JOB is refused, since JOB in its name would be replaced" {
    for folder in JOB 'JOB 1' a/x-JOB.d; do
        mkdir -p "${folder}"
        run "${run_sh}" JOB=1:2 "${PWD}/${folder}/log/x.JOB.log" true
        [[ ${status} == 2 && ${output} == *"a folder's name holds JOB"* && ! -e 1 && ! -e '1 1' && ! -e a/x-1.d ]]
    done
    mkdir JOBS
    "${run_sh}" JOB=1:2 JOBS/x.JOB.log true
    [[ -s JOBS/x.1.log ]]
}

@test "the last line of a command's output stands by itself, also without a line end" {
    run "${run_sh}" JOB=1:2 log/x.JOB.log bash -c 'printf "clips.tsv:3: broken"; exit 2'
    [[ ${status} == 2 && ${lines[-1]} == 'clips.tsv:3: broken' ]]
    [[ $(tail -n 3 log/x.1.log | head -n 1) == 'clips.tsv:3: broken' ]]
    "${run_sh}" log/y.log printf ''
    ! grep -qx '' log/y.log
}
