#!/usr/bin/env bats
# A recipe that is killed by SIGKILL or SIGTERM, or whose terminal is closed: none of its processes runs on, and the same
# command continues at once.

root=$(cd "${BATS_TEST_DIRNAME}/../.." && pwd)

setup() {
    cd "${BATS_TEST_TMPDIR}" || return 1
    export SED_BACKEND=local PYTHONPATH=${root} CUDA_VISIBLE_DEVICES=''
    # Under nohup all of these would ignore the hang-up that is tested, and a shell cannot undo that.
    printf '#!%s\nimport os, signal, sys\n' "$(command -v python3)" >with_hang_up
    printf 'signal.signal(signal.SIGHUP, signal.SIG_DFL)\nos.execv(sys.argv[1], sys.argv[1:])\n' >>with_hang_up
    chmod +x with_hang_up
}

wait_for() { # wait_for <glob>: up to two minutes
    for ((i = 0; i < 2400; i++)); do
        ! compgen -G "$1" >/dev/null || return 0
        sleep 0.05
    done
    echo "$1 does not come"
    tail -n 20 said
    return 1
}

of_the_run() { # print the processes of the run: those with a path in its folder on their command line
    pgrep -f -- "${PWD}/work" || true
}

gone() { # gone <process id...>: do all end within ten seconds? No process at all is a failure of the test.
    (($#)) || return 1
    for ((i = 0; i < 100; i++)); do
        [[ -n $(ps -o pid=,stat= -p "$(paste -sd , <<<"${*// /,}" | tr ' ' ,)" | grep -v ' Z') ]] || return 0
        sleep 0.1
    done
    ps -o pid,ppid,stat,args -p "$(paste -sd , <<<"${*// /,}" | tr ' ' ,)"
    return 1
}

recordings() { # write eight recordings of three seconds, of two classes, and a table of seven of them
    mkdir sounds
    python3 - <<'END'
import numpy, soundfile
rng = numpy.random.default_rng(0)
rows = ["filename\tonset\toffset\tevent_label"]
for i in range(8):
    sound = 0.01 * rng.standard_normal(48000)
    sound[16000:32000] += 0.3 * (rng.standard_normal(16000) if i % 2 else numpy.sin(numpy.arange(16000) / 5))
    soundfile.write(f"sounds/s{i}.wav", sound, 16000)
    if i < 7:
        rows.append(f"s{i}.wav\t1.0\t2.0\t{['low hum', 'loud hiss'][i % 2]}")
open("events.tsv", "w").write("\n".join(rows) + "\n")
END
}

# bats test_tags=slow
@test "own_data: kill -9, SIGTERM and a closed terminal, in three stages" {
    recordings
    recipe=("${root}/egs/own_data/run.sh" --recordings sounds --events events.tsv --ngpu 0 --nj 1 --pretrained none
        --feature-conf conf/mini/logmel.yaml --conf conf/mini/ast_sed.yaml --score-args "--bootstrap 0 --no-report"
        --train-args "--epochs 3 --steps-per-epoch 30 --batch-sizes 1,1,1,1 --ast-dim 16 --gru-units 8 --checkpoint-seconds 0")
    "${recipe[@]}" --work "${PWD}/whole" >said 2>&1 3>&-

    "${recipe[@]}" --work "${PWD}/work" >said 2>&1 3>&- &
    wait_for work/downloads/.lock
    first=$(of_the_run)
    kill -9 $!
    "${recipe[@]}" --work "${PWD}/work" >said 2>&1 3>&- & # at once
    gone ${first}
    wait_for 'work/dump/*/log/*.log'
    second=$(of_the_run)
    kill $!
    python3 - "${recipe[@]}" --work "${PWD}/work" >said.terminal 3>&- <<'END' &
import glob, os, pty, signal, subprocess, sys, time
child, terminal = pty.fork()
if not child:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    os.execv(sys.argv[1], sys.argv[1:])
os.set_blocking(terminal, False)
while not glob.glob("work/exp/*/checkpoints/step-*.pt"):
    try:
        sys.stdout.write(os.read(terminal, 65536).decode())
    except BlockingIOError:
        time.sleep(0.02)
with open("third", "w") as file:
    file.write(subprocess.run(["pgrep", "-f", os.getcwd() + "/work"], capture_output=True, text=True).stdout)
os.close(terminal)
END
    gone ${second}
    wait $!
    "${recipe[@]}" --work "${PWD}/work" >said 2>&1 3>&- || {
        tail -n 20 said
        return 1
    }
    gone $(grep -vx "$$" third)
    grep -q 'resumed from' work/exp/ast_sed/train.log
    for file in downloads/metadata/labels.txt exp/ast_sed/final.pt exp/ast_sed/validation/events.tsv; do
        cmp "whole/${file}" "work/${file}"
    done
    (cd work && find . -type f ! -name '*.log' | sort) >files
    diff <(cd whole && find . -type f ! -name '*.log' ! -name 'events.out.*' | sort) <(grep -v events.out files)
}

stand_in() { # write a python3 whose training takes a minute
    mkdir -p bin bank work/dump/{strong_real,weak,unlabelled,validation}
    printf '#!/usr/bin/env bash\n[[ "$*" != *sys.executable* ]] || { echo "%s" && exit; }\n' "${PWD}/bin" >bin/python3
    printf '[[ "$*" != *cuInit* ]] || exit 0\n[[ $1 == -m && $2 != sed.bin.experiments ]] || exec "%s" "$@"\n' "$(command -v python3)" >>bin/python3
    printf 'real="%s"\n' "$(command -v python3)" >>bin/python3
    cat >>bin/python3 <<'END'
waits='import time; from sed.lifetime import end_with_owner; end_with_owner(); time.sleep(60)'
case $2 in
    sed.bin.train | sed.bin.pretrain | sed.bin.synthesize)
        touch "${STARTED}.$(tr -c 'a-z0-9\n' . <<<"${*: -1}")"
        [[ $2 != sed.bin.synthesize || -n ${TICKS-} ]] || exec "${real}" -c "${waits}" "$@" # it runs without a backend that would end it
        for ((i = 0; i < ${TICKS:-600}; i++)); do sleep 0.1; done
        if [[ $2 == sed.bin.train ]]; then touch "${*: -1}"/{final.pt,.done}; else touch "${*: -1}"; fi
        ;;
esac
END
    chmod +x bin/python3
    PATH=${PWD}/bin:${PATH}
    export STARTED=${PWD}/started
    for set in work/dump/*; do touch "${set}"/{feats.scp,events.tsv,durations.tsv}; done
    touch work/dump/labels.txt x.yaml
    for name in a b c d; do printf '%s\tx.yaml\t%s/work/dump\t--seed 1\n' "${name}" "${PWD}" >>list.tsv; done
}

@test "sweep.sh: its experiments end with it, no further one starts, and the same command trains all at once" {
    stand_in
    for signal in KILL TERM HUP; do
        rm -f started.* && mkdir -p work
        ./with_hang_up "${root}/steps/sweep.sh" --ngpu 0 --jobs 2 train list.tsv "${PWD}/work/exp" >said 2>&1 3>&- &
        wait_for 'started.*exp.b'
        running=$(of_the_run)
        kill -s "${signal}" $!
        gone ${running}
        [[ -z $(of_the_run) && -z $(compgen -G 'started.*exp.[cd]') ]] || {
            ps -ef | grep "${PWD}/work"
            return 1
        }
    done
    TICKS=0 run "${root}/steps/sweep.sh" --ngpu 0 --jobs 2 train list.tsv "${PWD}/work/exp"
    [[ ${status} == 0 && -e work/exp/d/.done ]]
}

@test "sweep.sh: the daemon by which experiments share a GPU ends with it" {
    stand_in
    printf '#!/usr/bin/env bash\nif [[ $1 == -d ]]; then echo start; else cat; fi >>"%s/mps"\n' "${PWD}" >bin/nvidia-cuda-mps-control
    printf '#!/usr/bin/env bash\necho "GPU-${*: -1}"\n' >bin/nvidia-smi
    chmod +x bin/nvidia-cuda-mps-control bin/nvidia-smi
    CUDA_VISIBLE_DEVICES=0 "${root}/steps/sweep.sh" --ngpu 1 --jobs 2 train list.tsv "${PWD}/work/exp" >said 2>&1 3>&- &
    wait_for 'started.*exp.b'
    [[ $(<mps) == start ]]
    kill -9 $!
    for ((i = 0; i < 50; i++)); do
        [[ $(<mps) != $'start\nquit -t 10' ]] || return 0
        sleep 0.1
    done
    cat mps
    return 1
}

@test "real_sounds: pre-training beside the corpus, and the corpus, end with the recipe" {
    stand_in
    export CUDA_VISIBLE_DEVICES=0
    for signal in KILL TERM HUP; do
        rm -f started.*
        ./with_hang_up "${root}/egs/real_sounds/run.sh" --soundbank bank --work work >said 2>&1 3>&- &
        wait_for 'started.*ast.pth'
        wait_for 'started.*downloads'
        running=$(of_the_run)
        kill -s "${signal}" $!
        gone ${running}
        [[ -z $(of_the_run) ]]
    done
    TICKS=0 run "${root}/egs/real_sounds/run.sh" --soundbank bank --work work --stop-stage 0
    [[ ${status} == 0 && -e work/downloads/ast.pth ]]
}
