#!/usr/bin/env bats
# The calling convention of the backends: utils/run.sh, or with BACKEND=slurm the same cases with utils/slurm.sh.
# bats file_tags=backend

load need_slurm
utils=${BATS_TEST_DIRNAME}/../../utils

setup_file() {
    [[ ${BACKEND:-run} != slurm ]] || need_slurm
}

setup() {
    cmd=${utils}/${BACKEND:-run}.sh
    cd "${BATS_TEST_TMPDIR}" || return 1
}

has() { # has <file> <pattern>: does a line of the file match?
    grep -qx -- "$2" "$1" || {
        cat "$1"
        return 1
    }
}

@test "a log begins with the command, ready to paste, and ends with its status" {
    run "${cmd}" log/x.log bash -c 'echo "$1"' _ "it's a  test"
    [[ ${status} == 0 ]]
    [[ $(sed -n 1p log/x.log) == "bash -c 'echo \"\$1\"' _ 'it'\''s a  test'" ]]
    [[ $(sed -n 3p log/x.log) == '# Started at 2'* ]] # a year
    [[ $(tail -n 1 log/x.log) == '# Ended (code 0)' ]]
    [[ $(bash -c "$(sed -n 1p log/x.log)") == "it's a  test" ]]
}

@test "the output of a single job is shown and logged" {
    run "${cmd}" log/x.log echo "epoch 1"
    [[ ${status} == 0 && ${output} == *'epoch 1'* ]]
    has log/x.log 'epoch 1'
}

@test "numbered jobs: JOB in the log and the command, as a word of its own only" {
    run "${cmd}" JOB=1:3 log/x.JOB.log echo feats.JOB.h5 JOBS /scratch/JOB_7/JOB JOB
    [[ ${status} == 0 ]]
    for job in 1 2 3; do has "log/x.${job}.log" "feats.${job}.h5 JOBS /scratch/JOB_7/${job} ${job}"; done
    [[ ${output} == *'3 of 3 jobs done'* ]]
}

@test "without a range JOB is not replaced" {
    run "${cmd}" log/JOB.log echo JOB
    has log/JOB.log JOB
}

@test "the working folder and the environment reach the job" {
    mkdir sub
    cd sub
    GREETING=hello run "${cmd}" ../log/x.log bash -c 'echo "${GREETING} from ${PWD}"'
    has ../log/x.log "hello from ${BATS_TEST_TMPDIR}/sub"
}

@test "a failure: the highest status, the log's name and its end" {
    run "${cmd}" JOB=1:3 log/x.JOB.log bash -c 'echo start of JOB; [ JOB = 1 ] || { echo trouble in JOB; exit $((JOB + 3)); }'
    [[ ${status} == 6 ]]
    [[ ${output} == *'trouble in 2'* && ${output} == *'log/x.2.log'* && ${output} == *'log/x.3.log'* ]]
    [[ ${output} != *'log/x.1.log'* ]]
    [[ $(tail -n 1 log/x.3.log) == '# Ended (code 6)' ]]
}

@test "bad input is reported in its own line, exit 2" {
    run "${cmd}" JOB=1:2 log/x.JOB.log bash -c 'echo reading; echo "job: a.wav: not audio (remove it)" >&2; exit 2'
    [[ ${status} == 2 && ${output} == *'job: a.wav: not audio (remove it)'* && ${output} != *'reading'*'reading'* ]]
}

@test "bad input of one job is reported beside another job's failure" {
    run "${cmd}" JOB=1:2 log/x.JOB.log bash -c 'echo "line of job JOB"; exit JOB'
    [[ ${status} == 2 && ${output} == *'line of job 1'*'failed (code 1): the log is '*'line of job 2'* ]]
}

@test "a command with a line end is not shown as output" {
    run "${cmd}" JOB=1:2 log/x.JOB.log bash -c $'echo out\ntrue; exit 3'
    [[ ${status} == 3 && ${output} == *out* && ${output} != *true* && ${output} != *'Started at'* ]]
}

@test "a command that does not exist fails" {
    status=0
    "${cmd}" log/x.log no_such_command_here || status=$?
    [[ ${status} == 127 ]]
    [[ $(tail -n 1 log/x.log) == '# Ended (code 127)' ]]
}

@test "--pick incomplete runs only jobs that did not end with status 0" {
    run "${cmd}" JOB=1:3 log/x.JOB.log bash -c 'echo JOB >>ran; [ JOB != 2 ]'
    [[ ${status} == 1 ]]
    run "${cmd}" --pick incomplete JOB=1:3 log/x.JOB.log bash -c 'echo JOB >>ran'
    [[ ${status} == 0 ]]
    [[ $(sort ran | paste -sd ' ') == '1 2 2 3' ]]
    run "${cmd}" --pick incomplete JOB=1:3 log/x.JOB.log bash -c 'echo JOB >>ran'
    [[ ${status} == 0 && $(wc -l <ran) == 4 ]]
}

@test "jobs have no standard input" {
    echo text | timeout 60 "${cmd}" log/x.log bash -c 'cat; echo end'
    has log/x.log end
    ! grep -q '^text$' log/x.log
}

@test "--gpu 0 hides the GPUs" {
    CUDA_VISIBLE_DEVICES=0,1 run "${cmd}" --gpu 0 log/x.log bash -c 'echo "gpus=<${CUDA_VISIBLE_DEVICES-none}>"'
    [[ ${status} == 0 ]]
    grep -qE '^gpus=<(none|)>$' log/x.log
}

@test "bad usage: exit status 2 and one line" {
    for args in "" "log/x.log" "JOB=1:0 log/x.JOB.log true" "JOB=2:1 log/x.JOB.log true" "JOB=a log/x.JOB.log true" \
        "JOB=1:2 log/x.log true" "--pick some log/x.log true" "--gpu x log/x.log true" "--bogus 1 log/x.log true"; do
        # shellcheck disable=SC2086
        run "${cmd}" ${args}
        [[ ${status} == 2 && ${#lines[@]} == 1 ]] || {
            echo "${args}: ${status} ${output}"
            return 1
        }
    done
    [[ ! -e log ]]
}

wait_for() { # wait_for <file>: up to 30 s
    for ((i = 0; i < 300; i++)); do
        [[ ! -s $1 ]] || return 0
        sleep 0.1
    done
    return 1
}

job_that_saves='trap "sleep 0.5; echo saved >>saved; exit 9" TERM; echo up >started; while :; do sleep 0.1; done'

@test "SIGTERM is passed on, and waited for" {
    "${cmd}" log/x.log bash -c "${job_that_saves}" 3>&- &
    wait_for started
    kill $!
    status=0
    wait $! || status=$?
    [[ ${status} == 143 && -s saved && $(tail -n 1 log/x.log) == '# Ended (code 9)' ]]
}

@test "Ctrl-C stops every job and the calling scripts" {
    printf '%s\n' 'set -e' "'${cmd}' JOB=1:2 log/x.JOB.log bash -c 'echo up >started.JOB; exec sleep 100'" 'echo went on' >caller.sh
    python3 - <<'END'
import os, signal, subprocess, time
caller = subprocess.Popen(["bash", "caller.sh"], start_new_session=True, stdout=open("said", "w"), stderr=subprocess.STDOUT,
                          preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
for _ in range(300):
    if os.path.exists("started.1") and os.path.exists("started.2"):
        break
    time.sleep(0.1)
os.killpg(caller.pid, signal.SIGINT)
assert caller.wait(60) != 0
time.sleep(0.2)
assert "went on" not in open("said").read(), open("said").read()
END
    for job in 1 2; do [[ $(tail -n 1 "log/x.${job}.log") == '# Ended (code 143)' ]]; done
}

@test "a job ends with the shell that waits for it, even if that is killed by SIGKILL" {
    cat >job.py <<'END'
import os, pathlib, time
from sed.lifetime import end_with_owner
end_with_owner()
pathlib.Path("new").write_text(f"{os.getpid()} {os.getppid()}\n")
os.rename("new", "started")
time.sleep(60)
END
    PYTHONPATH=${utils}/.. "${cmd}" log/x.log python3 job.py 3>&- &
    wait_for started
    read -r job shell <started
    kill -9 "${shell}"
    for ((i = 0; i < 100; i++)); do
        kill -0 "${job}" 2>/dev/null || return 0
        sleep 0.1
    done
    kill -9 "${job}"
    return 1
}

@test "jobs end with the process RUN_OWNER" {
    sleep 100 3>&- &
    owner=$!
    RUN_OWNER=${owner} "${cmd}" log/x.log bash -c "${job_that_saves}" 3>&- &
    wait_for started
    kill -9 "${owner}"
    ! wait $! || false
    wait_for saved
}
