#!/usr/bin/env bash
# The part of utils/slurm.sh that runs on the nodes: the script that it submits sources this and calls slurm_task.

source "$(dirname "${BASH_SOURCE[0]}")/jobs.sh"

# shellcheck disable=SC2154  # `numbered`, `nodes` and `gpu` are set by the script that sources this

slurm_task() { # run this task's command with its log, and exit with its status
    local hosts
    job=${SLURM_JOB_ID} # in an array the last task has the array's number, which for Slurm means all tasks: use the index
    [[ ${numbered} == false ]] || job=${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}
    # Slurm may send SIGUSR1 before the time limit (sbatch's --signal=B:USR1@180): the task ends as by SIGTERM, which
    # run_task passes on to the command, and is put back into the queue, to be resumed.
    requeue=false
    trap 'requeue=true; kill "$$"' USR1
    trap 'run_again "$?"' EXIT
    ((gpu > 0)) || export CUDA_VISIBLE_DEVICES=
    export OMP_NUM_THREADS=${OMP_NUM_THREADS:-${SLURM_CPUS_PER_TASK:-${SLURM_CPUS_ON_NODE:-1}}}
    if ((nodes > 1)); then
        # torchrun's variables. A node's rank is that of Slurm (on_nodes), so that gradients are added in the same order
        # after a requeue. The first node is given by the address that Slurm knows, since its name need not resolve. The
        # port follows from the job's number, so that jobs that share a node have different ones.
        mapfile -t hosts < <(scontrol show hostnames "${SLURM_JOB_NODELIST}")
        PET_MASTER_ADDR=$(scontrol show node "${hosts[0]}" | sed -n 's/.*NodeAddr=\([^ ]*\).*/\1/p')
        export PET_MASTER_ADDR PET_MASTER_PORT=$((20000 + SLURM_JOB_ID % 10000)) PET_NNODES=${SLURM_JOB_NUM_NODES}
        # newer versions of srun do not inherit it
        [[ -z ${SLURM_CPUS_PER_TASK-} ]] || export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK}
        # shellcheck disable=SC2034  # run_task reads it
        launcher=(on_nodes)
    fi
    run_task "${SLURM_ARRAY_TASK_ID:-1}" \
        "CUDA_VISIBLE_DEVICES=${CUDA_VISIBLE_DEVICES-} OMP_NUM_THREADS=${OMP_NUM_THREADS}, Slurm job ${SLURM_JOB_ID}"
}

# shellcheck disable=SC2317,SC2329  # run_task calls it
on_nodes() { # on_nodes <command...>: run it once on each node; SIGTERM is passed to all of them, where srun would kill them
    local code=0 waiting=true
    trap 'waiting=true; scancel --signal=TERM "${job}"' TERM
    # shellcheck disable=SC2016
    # without RUN_OWNER, which is a process of the first node only; --wait: seconds that the other nodes
    # have to end once the first has ended
    srun --wait=60 bash -c 'unset RUN_OWNER && PET_NODE_RANK=${SLURM_NODEID} exec "$@"' _ "$@" &
    while ${waiting}; do
        waiting=false code=0
        wait $! || code=$?
    done
    return "${code}"
}

# shellcheck disable=SC2317,SC2329  # the trap calls it
run_again() { # run_again <exit status>: requeue the task if its time ran out or its node was preempted
    local state
    (($1 > 0 && $1 != 2)) || return 0 # finished (0), or bad input (2), which would only fail again
    state=$(scontrol show job "${job}" || true)
    # PreemptTime=2...: a date, the task is preempted; else None. RUNNING: in its grace time; after that, Slurm itself
    # requeues or cancels it.
    if [[ ${requeue} == true || (${state} == *PreemptTime=2* && ${state} == *JobState=RUNNING*) ]]; then
        scontrol requeue "${job}" && sleep 60 # until Slurm ends us
    fi
}
