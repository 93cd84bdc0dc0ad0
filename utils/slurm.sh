#!/usr/bin/env bash
# Run a command, or several numbered jobs of it, on a Slurm cluster; called like utils/run.sh.
#
# usage: utils/slurm.sh [options] [JOB=1:N] <log> <command...>
#
#   --gpu N        GPUs per job and node; 0: no GPU is visible to it (0)
#   --nodes N      machines per job; with more than one, the command runs once on each (1)
#   --mem SIZE     memory per node, as sbatch takes it, such as 16G (conf/slurm.conf's)
#   --time T       time limit per job, as sbatch takes it, such as 2:00:00 (conf/slurm.conf's)
#   --pick WHAT    jobs to run: all, or incomplete, those whose log does not end with status 0 (all)
#   --conf FILE    translation of these options into sbatch's (conf/slurm.conf)
#   --patience S   cancel the jobs if none has started after S seconds; 0: the conf's value, or never (0)
#
# Submits one sbatch (an array if jobs are numbered), shows its progress until it ends, and exits with the highest status
# of its jobs. Jobs that Slurm requeues are waited for; those preempted or sent SIGUSR1 (sbatch's --signal=B:USR1@180) end
# their command by SIGTERM and requeue themselves. Ctrl-C, SIGTERM and the end of the process RUN_OWNER cancel the
# submitted jobs. On several nodes, the variables PET_* configure torchrun's rendezvous. Environment variables: SLURM_POLL,
# seconds between queries of the queue (5); RUN_GRACE, seconds for which Slurm may list a job as running after its log has
# ended (60); RUN_OWNER, which steps set (utils/step.sh).
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder
utils=$(cd -P "$(dirname "${BASH_SOURCE[0]}")" && pwd)
gpu=0 nodes=1 mem="" time="" pick=all conf=${utils}/../conf/slurm.conf patience=0
# shellcheck disable=SC2034  # parse_options.sh reads it
options_first=true
source "${utils}/parse_options.sh"
source "${utils}/jobs.sh"
command -v sbatch >/dev/null || die "no sbatch on PATH (is this a machine of the cluster? SED_BACKEND=local needs none)"
[[ -f ${conf} ]] || die "${conf}: no such file (see conf/slurm.conf)"

read_conf() { # set `submit` to sbatch and its options: those of conf/slurm.conf for the values of our options
    # any: option -> sbatch's words for any value, in which $0 stands for the value; exact: option=value -> words for this value
    local number=0 kind rest name value options words word key
    local -A wanted=([gpu]=${gpu} [nodes]=${nodes} [mem]=${mem} [time]=${time}) any=() exact=()
    submit=(sbatch)
    while read -r kind rest || [[ -n ${kind} ]]; do # the last line may have no line end
        number=$((number + 1))
        case ${kind} in
            '' | '#'*) continue ;;
            command)
                [[ -n ${rest} ]] || die "${conf}:${number}: no command (command sbatch ...)"
                split_words "${rest}"
                submit=("${words[@]}")
                continue
                ;;
            patience)
                [[ ${rest} =~ ^[0-9]{1,9}$ ]] || die "${conf}:${number}: patience is seconds, not '${rest}'"
                ((patience > 0)) || patience=$((10#${rest}))
                continue
                ;;
        esac
        read -r name options <<<"${rest}"
        value=${name#*=} name=${name%%=*}
        [[ ${kind} =~ ^(option|default)$ && -n ${name} && -n ${wanted[${name}]+there} && ${rest} == *=* ]] ||
            die "${conf}:${number}: not understood (command ..., option <gpu|nodes|mem|time>=<value> ..., default ..., patience <seconds>)"
        if [[ ${kind} == default ]]; then
            [[ -n ${wanted[${name}]} ]] || wanted[${name}]=${value}
        elif [[ ${value} == '*' ]]; then
            any[${name}]=${options}
        else
            key=${name}=${value}
            exact[${key}]=${options}
        fi
    done <"${conf}"
    for name in gpu nodes mem time; do
        value=${wanted[${name}]}
        [[ -n ${value} ]] || continue
        key=${name}=${value}
        split_words "${exact[${key}]-${any[${name}]-}}"
        for word in ${words[@]+"${words[@]}"}; do submit+=("${word//\$0/${value}}"); done
    done
}

array() { # print the jobs' numbers for sbatch's --array: 1-1000,1003, since sbatch refuses a list of more than a thousand
    local job first="" last="" text=""
    for job in "${jobs[@]}" ''; do
        if [[ -z ${first} || ${job} != $((last + 1)) ]]; then
            [[ -z ${first} ]] || text+=,${first}$([[ ${first} == "${last}" ]] || printf -- '-%d' "${last}")
            first=${job}
        fi
        last=${job}
    done
    printf '%s' "${text#,}"
}

write_script() { # write_script <file>: write the script that each job runs on its node
    {
        printf '%s\n' '#!/usr/bin/env bash' 'set -euo pipefail'
        printf 'cd %q\n' "${PWD}"
        printf 'source %q\n' "${utils}/slurm_task.sh"
        printf 'numbered=%s nodes=%d gpu=%d\ntemplate=(' "${numbered}" "${nodes}" "${gpu}"
        printf ' %q' "${template[@]}" # the log, then the command
        printf ' )\nslurm_task\n'
    } >"$1"
}

tasks() { # print how many of our tasks are queued or running; fails if Slurm does not answer
    local output
    if output=$(squeue -h -r -j "${id}" -o '%t' 2>&1); then
        grep -c . <<<"${output}" || true
    elif [[ ${output} == *'Invalid job id'* ]]; then
        echo 0
    else
        return 1
    fi
}

task_id() { # task_id <number>: print what Slurm calls a task, such as 71_2
    printf '%s' "${id}"
    [[ ${numbered} == false ]] || printf '_%d' "$1"
}

task_state() { # task_state <number>: print Slurm's state of a task, such as TIMEOUT
    scontrol show job "$(task_id "$1")" 2>/dev/null | grep -o -m 1 'JobState=[A-Z_]*' | cut -d= -f2 || true
}

all_ended() { # do all logs end with a status?
    local job
    for job in "${jobs[@]}"; do
        fill_in "${job}"
        [[ $(tail -n 1 "${filled[0]}") == '# Ended (code '* ]] || return 1
    done
}

# shellcheck disable=SC2317,SC2329  # the traps call it
stop_jobs() { # stop_jobs <signal>: cancel the jobs; the main loop then waits until Slurm has ended them
    stopping=$((stopping + 1)) signal=$1
    [[ -z ${id} ]] || scancel "${id}" 2>/dev/null || true
    ((stopping > 1)) || printf 'slurm.sh: cancelling job %s\n' "${id}" >&2
}

watch_owner() { # cancel the jobs once the owner has ended, or this script was killed by a signal that it cannot catch
    trap '' INT
    while alive $$ && { [[ -z ${RUN_OWNER-} ]] || alive "${RUN_OWNER}"; }; do pause 1; done
    if alive $$; then kill $$; else scancel "${id}"; fi
}

parse_jobs "$@"
read_conf
fill_in "${jobs[0]}"
folder=$(dirname "${filled[0]}")/slurm
mkdir -p "${folder}"
script=${folder}/$(basename "${template[0]}" .log).sh
write_script "${script}"
submit+=(--parsable --export=ALL --job-name="$(basename "${filled[0]}" .log)" --input=/dev/null)
if [[ ${numbered} == true ]]; then
    submit+=(--array="$(array)" --output="${folder}/%A_%a.out")
else
    submit+=(--output="${folder}/%j.out")
fi
id="" helpers=() codes=() stopping=0 signal=TERM
trap 'stop_jobs INT' INT
trap 'stop_jobs TERM' TERM HUP
trap end_helpers EXIT
# In another session, so that Ctrl-C does not end sbatch after it has submitted but before we have the job's number.
id=$(setsid -w "${submit[@]}" "${script}" 2>"${folder}/sbatch.err") ||
    die "sbatch refused: $(paste -sd ' ' "${folder}/sbatch.err") (options come from ${conf})"
id=${id%%;*} # without the cluster's name, which --parsable may add
((stopping == 0)) || scancel "${id}" || true
watch_owner >/dev/null 2>&1 &
helpers+=($!)
shown=""
if ((${#jobs[@]} == 1)); then
    (
        trap '' INT
        exec tail -n +1 -s 0.5 -F --pid=$! "${filled[0]}" 2>/dev/null # until watch_owner has ended
    ) | show_body &
    shown=$!
fi

began=${SECONDS} last_report=0 unanswered=0 left=1 last_alive=${SECONDS} started=false
while ((left > 0)); do
    pause "${SLURM_POLL:-5}"
    if ! left=$(tasks); then # for instance, Slurm's controller restarts
        left=1 unanswered=$((unanswered + 1))
        ((unanswered % 12 != 1)) || printf 'slurm.sh: squeue does not answer, waiting for it\n' >&2 # once a minute, by default
        continue
    fi
    # why jobs are pending, in Slurm's words
    waits=$(squeue -h -j "${id}" -t PENDING -o '%r' 2>/dev/null | sort -u | paste -sd ',' || true)
    case ${waits} in
        *BadConstraints* | *PartitionTimeLimit* | *PartitionNodeLimit* | *Invalid* | *NotAllowed* | *PerJob* | *'launch failed'* | *Never*)
            scancel "${id}"
            die "job ${id} can never start: ${waits} (see ${conf}, squeue and sinfo)"
            ;;
    esac
    running=$(squeue -h -j "${id}" -t RUNNING,COMPLETING -o '%t' 2>/dev/null | grep -c . || true)
    ((running == 0 && left == ${#jobs[@]})) || started=true # for good: a job that Slurm requeues waits again
    if [[ -n ${waits} && ${started} == false ]] && ((patience > 0 && SECONDS - began > patience && stopping == 0)); then
        scancel "${id}"
        die "job ${id} has not started in ${patience} s: ${waits} (cancelled)"
    fi
    if ((running == 0)) || ! all_ended; then
        last_alive=${SECONDS}
    elif ((SECONDS - last_alive > ${RUN_GRACE:-60})); then # for instance, its slurmstepd was killed
        printf 'slurm.sh: job %s is over by its log but not by Slurm: cancelling it\n' "${id}" >&2
        scancel "${id}" || true
        last_alive=${SECONDS}
    fi
    if ((SECONDS - last_report >= 30 && left > 0)) && [[ -n ${waits} ]]; then
        printf 'slurm.sh: job %s is pending: %s\n' "${id}" "${waits}" >&2
        last_report=${SECONDS}
    elif ((${#jobs[@]} > 1 && (left == 0 || SECONDS - last_report >= 10))); then
        progress "${left}" $((SECONDS - began))
        last_report=${SECONDS}
    fi
done
if ((stopping > 0)); then
    end_helpers # the EXIT trap does not run when a signal ends us
    trap - "${signal}"
    kill -s "${signal}" $$
fi

for job in "${jobs[@]}"; do
    fill_in "${job}"
    for ((i = 0; i < 20; i++)); do # a shared file system may show the end of the log only after some seconds
        [[ $(tail -n 1 "${filled[0]}") != '# Ended (code '* ]] || break
        state=$(task_state "${job}")
        # these end a job before it can write its status: 1.5 s more in case it did
        if [[ ${state} =~ ^(CANCELLED|TIMEOUT|NODE_FAIL|OUT_OF_MEMORY)$ ]] && ((i >= 3)); then break; fi
        pause 0.5
    done
    last=$(tail -n 1 "${filled[0]}")
    if [[ ${last} =~ ^'# Ended (code '([0-9]+)')'$ ]]; then
        codes+=("${BASH_REMATCH[1]}")
    else
        printf 'slurm.sh: job %s ended without a status in its log: Slurm says %s (also see %s)\n' "$(task_id "${job}")" "$(task_state "${job}")" "${folder}" >&2
        codes+=(1)
    fi
done
end_helpers
# `tail` shows the last lines of the log, and ends; it would keep the lock of a folder that the next step uses
[[ -z ${shown} ]] || wait "${shown}" || true
report
