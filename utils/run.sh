#!/usr/bin/env bash
# Run a command, or several numbered jobs of it at once, on this machine; each job has a log. This is one of the backends
# that --cmd of the steps names; utils/slurm.sh, which takes the same options and more, is the other.
#
# usage: utils/run.sh [options] [JOB=1:N] <log> <command...>
#
#   --gpu N      GPUs per job; 0: no GPU is visible to it (0)
#   --nodes N    machines per job; this backend has one (1)
#   --mem SIZE   memory per job; ignored here, for slurm.sh
#   --time T     time limit per job; ignored here, for slurm.sh
#   --pick WHAT  jobs to run: all, or incomplete, those whose log does not end with status 0 (all)
#
# JOB, as a word of its own in the log's name and the command, is replaced by the job's number: feats.JOB.h5. The log
# starts with the command, ready to paste, and ends with its status: '# Ended (code 0)'. The log of a single job is
# shown as it grows; of several jobs, the number of finished ones. If jobs fail, the end of the first one's log is shown;
# the exit status is the highest of all jobs. Ctrl-C and SIGTERM send SIGTERM to the jobs and wait for them; after a
# second one, or after RUN_GRACE seconds (60), they are killed. If RUN_OWNER is set, the jobs end with the process of
# that id. OMP_NUM_THREADS, unless set, divides the cores among the jobs.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder
utils=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck disable=SC2034  # mem and time are for slurm.sh
gpu=0 nodes=1 mem="" time="" pick=all options_first=true
source "${utils}/parse_options.sh"
source "${utils}/jobs.sh"
source "${utils}/gpus.sh"
parse_jobs "$@"
((nodes == 1)) || die "--nodes ${nodes}: this machine is one (SED_BACKEND=slurm runs on several)"

gpus=()
if ((gpu > 0)); then
    list_gpus
    # --ngpu: option of the steps and recipes, which pass it on as --gpu
    ((gpu <= ${#gpus[@]})) || die "a job wants ${gpu} GPU(s), this machine has ${#gpus[@]} (--ngpu 0 uses the CPU)"
fi
if [[ -z ${OMP_NUM_THREADS-} ]]; then
    cores=$(nproc)
    OMP_NUM_THREADS=$((cores > ${#jobs[@]} ? cores / ${#jobs[@]} : 1))
    export OMP_NUM_THREADS
fi

run_job() { # run_job <number>: called in a subshell, which exits with the job's status
    local devices="" at
    if ((gpu > 0)); then
        # index of the job's first GPU: jobs take the GPUs in turn; a rest smaller than `gpu` stays unused
        at=$((($1 - 1) * gpu % (${#gpus[@]} / gpu * gpu)))
        devices=$(IFS=, && printf '%s' "${gpus[*]:at:gpu}")
    fi
    export CUDA_VISIBLE_DEVICES=${devices}
    run_task "$1" "CUDA_VISIBLE_DEVICES=${devices} OMP_NUM_THREADS=${OMP_NUM_THREADS}"
}

# shellcheck disable=SC2317,SC2329  # the traps call it
stop_jobs() { # stop_jobs <signal>: send the jobs SIGTERM, and after RUN_GRACE a second one, which run_task makes SIGKILL
    stopping=$((stopping + 1)) signal=$1
    ((${#pids[@]} == 0)) || kill "${pids[@]}" 2>/dev/null || true
    ((stopping == 1)) || return 0
    printf '%s: stopping the jobs (a second signal kills them)\n' "$(basename "$0")" >&2
    (trap '' INT && pause "${RUN_GRACE:-60}" && kill "${pids[@]}") >/dev/null 2>&1 &
    helpers+=($!)
}

watch_owner() { # stop the jobs once the owner has ended, or this script was killed by a signal that it cannot catch
    trap '' INT # Ctrl-C reaches this process, too, but only the script acts on it
    while alive $$ && { [[ -z ${RUN_OWNER-} ]] || alive "${RUN_OWNER}"; }; do pause 1; done
    if alive $$; then kill $$; else kill "${pids[@]}"; fi
}

show_progress() { # the log of a single job, else the number of finished jobs every 10 s (on a terminal every second)
    trap '' INT   # as in watch_owner
    local pid running next=10 began=${SECONDS}
    if ((${#jobs[@]} == 1)); then
        fill_in "${jobs[0]}"
        tail -n +1 -s 0.2 -f --pid="${pids[0]}" "${filled[0]}" | show_body
        return
    fi
    while :; do
        running=0
        for pid in "${pids[@]}"; do ! alive "${pid}" || running=$((running + 1)); done
        if [[ -t 2 ]] || ((SECONDS - began >= next || running == 0)); then
            progress "${running}" $((SECONDS - began))
            next=$((SECONDS - began + 10))
        fi
        ((running > 0)) || return 0
        pause 1
    done
}

pids=() helpers=() codes=() stopping=0 signal=TERM
trap 'stop_jobs INT' INT
trap 'stop_jobs TERM' TERM HUP
trap end_helpers EXIT
for job in "${jobs[@]}"; do
    ((stopping == 0)) || break
    run_job "${job}" &
    pids+=($!)
done
((${#pids[@]} > 0)) || exit 143 # stopped (128 + SIGTERM) before the first job
watch_owner >/dev/null 2>&1 &
helpers+=($!)
show_progress &
shown=$!

for pid in "${pids[@]}"; do
    code=0
    wait "${pid}" || code=$?
    while ((stopping > 0)) && alive "${pid}"; do # a signal ended the wait, not the job
        wait "${pid}" || true
    done
    codes+=("${code}")
done
while ! wait "${shown}" && alive "${shown}"; do :; done
if ((stopping > 0)); then # end by the signal itself, so that calling scripts see that they are to stop, too
    end_helpers           # the EXIT trap does not run when a signal ends us
    trap - "${signal}"
    kill -s "${signal}" $$
fi
report
