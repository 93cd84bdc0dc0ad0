#!/usr/bin/env bash
# Shared by the backends (run.sh, slurm.sh, slurm_task.sh), which source it: jobs' numbers, logs, progress, report.

# From the backend: `pick`, its option; `helpers`, background processes beside the jobs, which watch, show or wait;
# `codes`, the jobs' exit statuses.

# shellcheck disable=SC2154  # these variables are set by the backend

jobs=()        # numbers of the jobs to run
template=()    # log and command, with JOB
filled=()      # log and command of one job, with its number instead of JOB: see fill_in
launcher=()    # words to put before each command: on_nodes of slurm_task.sh
numbered=false # whether JOB=1:N was given

parse_jobs() { # parse_jobs [JOB=1:N] <log> <command...>: set `jobs`, `template` and `numbered`; create empty logs
    # also JOB=2:3 and JOB=2, for a part of the jobs
    local first=1 last=1 job
    if [[ ${1-} == JOB=* ]]; then
        [[ $1 =~ ^JOB=([0-9]{1,6})(:([0-9]{1,6}))?$ ]] || die "$1: jobs are JOB=1:N (or JOB=3:5, JOB=3)"
        first=$((10#${BASH_REMATCH[1]})) last=$((10#${BASH_REMATCH[3]:-${first}})) numbered=true
        ((1 <= first && first <= last)) || die "$1: jobs count upwards from 1 (JOB=1:N, JOB=3:5)"
        shift
    fi
    (($# >= 2)) || usage
    template=("$@")
    if ${numbered} && [[ $(dirname "$1") =~ (^|[^A-Za-z0-9_])JOB([^A-Za-z0-9_]|$) ]]; then
        die "$1: a folder's name holds JOB, which stands for a job's number (rename the folder, or choose another one)"
    fi
    [[ ${pick} == all || ${pick} == incomplete ]] || die "--pick is all or incomplete, not '${pick}'"
    for ((job = first; job <= last; job++)); do
        fill_in "${job}"
        [[ ${numbered} == false || ${filled[0]} != "$1" ]] || die "$1: the log's name needs JOB, as in dump.JOB.log"
        [[ ${pick} == all ]] || ! ended_well "${filled[0]}" || continue
        mkdir -p "$(dirname "${filled[0]}")" || die "${filled[0]}: its folder cannot be made (see above)"
        : >"${filled[0]}" || die "${filled[0]}: cannot be written (see above)"
        jobs+=("${job}")
    done
    ((${#jobs[@]} > 0)) || exit 0
}

fill_in() { # fill_in <number>: set `filled` to the log and command of that job, with its number for each whole word JOB
    local word tail
    filled=()
    for word in "${template[@]}"; do
        tail=""
        while ${numbered} && [[ ${word} =~ ^(|.*[^A-Za-z0-9_])JOB(|[^A-Za-z0-9_].*)$ ]]; do
            word=${BASH_REMATCH[1]} tail=$1${BASH_REMATCH[2]}${tail}
        done
        filled+=("${word}${tail}")
    done
}

begin_log() { # begin_log <environment> <command...>: print the first lines of a log; the command can be pasted into a shell
    local word line="" quoted
    for word in "${@:2}"; do
        quoted=${word}
        [[ ${word} =~ ^[A-Za-z0-9_./:=,@%+-]+$ ]] || quoted="'${word//\'/\'\\\'\'}'"
        line+="${line:+ }${quoted}"
    done
    printf '%s\n# Running on %s in %s with %s\n# Started at %s\n' "${line}" "${HOSTNAME}" "${PWD}" "$1" "$(date +%FT%T%z)"
}

end_log() { # end_log <exit status> <seconds>: print the last lines of a log; the very last has the exit status
    printf '# Elapsed %d s, until %s\n# Ended (code %d)\n' "$2" "$(date +%FT%T%z)" "$1"
}

run_task() { # run_task <number> <environment>: run that job with its log, and exit with its status
    # Ctrl-C reaches every process of a terminal: only the main script acts on it. SIGTERM is passed on to the command, a
    # second one as SIGKILL. stops: number of SIGTERMs so far; again: whether to wait for the command once more.
    local log owner code=0 pid="" stops=0 again=true began=${SECONDS}
    trap '' INT
    fill_in "$1"
    log=${filled[0]}
    # shellcheck disable=SC2317  # the trap calls it
    stop_command() {
        local signal=TERM
        ((stops < 2)) || signal=KILL
        [[ -z ${pid} ]] || kill -s "${signal}" "${pid}" 2>/dev/null || true
    }
    trap 'again=true stops=$((stops + 1)); stop_command' TERM
    begin_log "$2" "${filled[@]:1}" >"${log}"
    if ((stops == 0)); then
        # with RUN_OWNER the command ends even if this shell is killed by SIGKILL (sed/lifetime.py); BASHPID is
        # read here, since in the line that starts the command it is that process
        owner=${BASHPID}
        RUN_OWNER=${owner} ${launcher[@]+"${launcher[@]}"} "${filled[@]:1}" </dev/null >>"${log}" 2>&1 &
        pid=$!
        ((stops == 0)) || stop_command # asked to stop between the two lines above
    fi
    while [[ -n ${pid} ]] && ${again}; do # `wait` returns early at a signal
        again=false code=0
        wait "${pid}" 2>/dev/null || code=$?
    done
    ((stops == 0 || code > 0)) || code=143 # a command that was stopped is not finished, even if it exits with 0
    # the output may end within a line
    [[ -z $(tail -c 1 "${log}") ]] || printf '\n' >>"${log}"
    end_log "${code}" $((SECONDS - began)) >>"${log}"
    exit "${code}"
}

end_helpers() { # stop the processes in `helpers`: they would keep the locks that they inherited
    ((${#helpers[@]} == 0)) || kill "${helpers[@]}" 2>/dev/null || true
}

ended_well() { # ended_well <log>: does the log end with status 0?
    [[ -f $1 && $(tail -n 1 "$1") == '# Ended (code 0)' ]]
}

body() { # body [<option of sed>...] [<log>]: print the output of the command itself; the header ends with "# Started at"
    sed -e '1,/^# Started at /d' -e '/^# Elapsed [0-9]/d' -e '/^# Ended (code /d' "$@"
}

show_body() {   # show_body: the same for a growing log on standard input; prints to standard error
    body -u >&2 # line by line, and by sed: mawk would buffer its input
}

alive() { # alive <process id>: is the process running (not a zombie)?
    local stat=""
    kill -0 "$1" 2>/dev/null || return 1
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || true
    [[ ${stat##*)} != ' Z'* ]]
}

pause() { # pause <seconds>: like sleep, but without a process that could outlive us
    read -r -t "$1" -u "${silent_pipe}" || true
}
exec {silent_pipe}<> <(:) # nothing is ever written to it

progress() { # progress <running jobs> <seconds>: show a line; on a terminal it replaces the previous one
    local job last text
    text="$((${#jobs[@]} - $1)) of ${#jobs[@]} jobs done, $2 s"
    for job in "${jobs[@]}"; do # and the last output of the first running job
        fill_in "${job}"
        last=$(body "${filled[0]}" 2>/dev/null | tail -n 1)
        [[ -z ${last} || $(tail -n 1 "${filled[0]}") == '# Ended (code '* ]] || {
            text+="; job ${job}: ${last}"
            break
        }
    done
    if [[ -t 2 ]]; then
        printf '\r\033[K%s' "${text:0:${COLUMNS:-100}}" >&2
        (($1 > 0)) || printf '\n' >&2
    else
        printf '%s\n' "${text}" >&2
    fi
}

report() { # report: name the failed jobs' logs, and show the end of the first if there are several jobs
    # Exit with the highest status in `codes`. Jobs with bad input (2) are not named: the line of the first of them, which
    # is shown, says which input, and mostly all have the same.
    local index log worst=0 lines crashed="" refused=""
    for index in "${!jobs[@]}"; do
        ((codes[index] > 0)) || continue
        fill_in "${jobs[index]}"
        log=${filled[0]}
        worst=$((codes[index] > worst ? codes[index] : worst)) lines=0
        if ((codes[index] == 2)); then
            [[ -n ${refused} ]] || lines=1 # bad input is reported in one line
            refused=yes
        else
            [[ -n ${crashed} ]] || lines=20
            crashed=yes
        fi
        # the log of a single job was shown as it grew
        ((lines == 0 || ${#jobs[@]} == 1)) || body "${log}" | tail -n "${lines}" >&2
        if ((codes[index] != 2)); then
            printf '%s: failed (code %d): the log is %s\n' "$(basename "$0")" "${codes[index]}" "${log}" >&2
        fi
    done
    exit "${worst}"
}
