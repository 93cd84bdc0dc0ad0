#!/usr/bin/env bash
# Pre-train, train or score many experiments, or label with them, several at once and spread over the GPUs of this machine.
#
# usage: steps/sweep.sh [options] <pretrain|train|score|label> <list.tsv> <exp>
#
#   --cmd CMD           script that runs the jobs: utils/run.sh here, utils/slurm.sh on a cluster (utils/run.sh)
#   --ngpu N            GPUs to spread the experiments over; with more --jobs than GPUs, some share one; 0: the CPU (1)
#   --jobs N            experiments at once (1)
#   --mps BOOL          let experiments that share a GPU compute at the same time instead of by turns, if NVIDIA's MPS is
#                       installed: 1.6 times the clips per second with four trainings of AST-SED on an H200. A fault on
#                       the GPU ends all that share it; the same command resumes them (true)
#   --score BOOL        train: also score each experiment as soon as it is trained, while others train (false)
#   --test-set SET      set of the dump that is scored (validation)
#   --train-args ARGS   more options of sed.bin.train, for all, one string
#   --infer-args ARGS   more options of sed.bin.infer, for all, one string
#   --pretrain-args A   more options of sed.bin.pretrain, for all, one string
#   --soundbank DIR     data that encoders are pre-trained on: a soundbank, or a dumped set
#   --force BOOL        redo what is finished (false)
#
# `steps/experiments.sh <pretrain|train|score|label>` prints such lists; `-` reads the list from standard input, which may
# be empty. The columns, separated by tabs:
#   pretrain  name, config, checkpoint to write
#   train     name, config, dump, options of sed.bin.train, experiment that must end first (may be missing)
#   score     name, config, dump, options of sed.bin.score; `name/folder` scores the posteriors of <exp>/<name> again, with
#             other options, into <exp>/<name>/<folder>, a name other than the set's
#   label     name of the new set, experiment that labels, dump: the pseudo-labels of the weak and unlabelled clips become
#             the set <dump>/<name>
# Finished work is skipped. If one experiment fails, the others go on, and the exit status is 1.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder
root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cmd=${root}/utils/run.sh ngpu=1 jobs=1 mps=true score=false test_set=validation train_args="" infer_args="" pretrain_args="" soundbank="" force=false
source "${root}/utils/parse_options.sh"
(($# == 3)) || usage
what=$1 list=$2 exp=${3%/}
[[ " pretrain train score label " == *" ${what} "* ]] || die "'${what}' is none of pretrain, train, score, label (see --help)"
doing=${what}
[[ ${what} != train || ${score} == false ]] || doing="train and score"
[[ ${list} == - || -e ${list} && ! -d ${list} ]] || die "${list}: no such file" # a pipe is one, too: <(command)
((jobs > 0)) || die "--jobs is at least 1"
asked_cmd=${cmd}
source "${root}/utils/step.sh"
source "${root}/utils/mps.sh"
source "${root}/utils/gpus.sh"

scratch=$(mktemp -d)
trap 'mps_stop; rm -rf "${scratch}"' EXIT
# \037 separates the columns here, since `read` takes several tabs in a row for one, and columns may be empty
grep . "${list}" | tr '\t' '\037' >"${scratch}/list" || { [[ ${list} == - ]] && exit 0; } || die "${list}: empty"
total=$(wc -l <"${scratch}/list")
mkdir -p "${exp}" || die "${exp}: cannot be made (see above)"
gpus=() # stays empty on a cluster, whose scheduler assigns GPUs and threads (SED_BACKEND: cmd.sh of the recipes)
if ((ngpu > 0)) && [[ ${SED_BACKEND:-local} == local ]]; then
    list_gpus
    ((ngpu <= ${#gpus[@]})) || die "--ngpu ${ngpu}: this machine has ${#gpus[@]} (--ngpu 0 uses the CPU)"
fi
if [[ -z ${OMP_NUM_THREADS-} && ${SED_BACKEND:-local} == local ]]; then
    cores=$(nproc)
    export OMP_NUM_THREADS=$((cores > jobs ? cores / jobs : 1))
fi

experiment() { # experiment <name> <config> <dump> <options>: do the work of one line of the list (columns: see above)
    case ${what} in
        pretrain)
            "${root}/steps/pretrain.sh" --cmd "${asked_cmd}" --ngpu "$((ngpu > 0))" --force "${force}" \
                --pretrain-args "${pretrain_args}" "$2" "${soundbank}" "$3"
            ;;
        train)
            [[ ${score} == false || -f $3/${test_set}/feats.scp ]] ||
                die "$3/${test_set}/feats.scp: no such file (--test-set is a set of the dump)"
            "${root}/steps/train.sh" --cmd "${asked_cmd}" --ngpu "$((ngpu > 0))" --force "${force}" \
                --train-args "${train_args} $4" "$2" "$3" "${exp}/$1" || return
            [[ ${score} == false ]] || score_experiment "$1" "$3"
            ;;
        label)
            "${root}/steps/pseudo_label.sh" --cmd "${asked_cmd}" --ngpu "$((ngpu > 0))" --force "${force}" \
                "${exp}/$2" "$3"/{weak,unlabelled} "$3/$1"
            ;;
        score) score_experiment "$1" "$3" "$4" ;;
    esac
}

score_experiment() { # score_experiment <name, or name/folder> <dump> [<options of sed.bin.score>]
    local out=$1     # below <exp>
    # OMP_NUM_THREADS may be a list, with a number for each level of nested parallelism: the first is taken
    local threads=${OMP_NUM_THREADS:-0}
    if [[ $1 == */* ]]; then
        [[ ${1##*/} != "${test_set}" ]] || die "${exp}/$1: has the posteriors, which a link would replace (choose another folder)"
        mkdir -p "${exp}/${out}"
        ln -sfn "../${test_set}/scores.h5" "${exp}/${out}/scores.h5"
    else
        out=$1/${test_set}
        "${root}/steps/infer.sh" --cmd "${asked_cmd}" --ngpu "$((ngpu > 0))" --force "${force}" \
            --infer-args "${infer_args}" "$2/${test_set}" "${exp}/$1" "${exp}/${out}" || return
    fi
    "${root}/steps/score.sh" --cmd "${asked_cmd}" --force "${force}" --nj "${threads%%,*}" \
        --score-args "--no-report ${3-}" "$2/${test_set}" "${exp}/${out}"
}

time_left() { # print roughly how long the rest of the list takes, by the mean of the experiments so far
    local left=$((total - $(wc -l <"${scratch}/ended")))
    ((left > 0)) || return 0
    awk -v left="${left}" -v at_once="${at_once}" '
        { sum += $1 }
        END {
            running = left < at_once - 1 ? left : at_once - 1 # the others that run now: on average they are half done
            rest = sum / NR * (left - running / 2) / at_once
            printf ", about %d:%02d:%02d left\n", rest / 3600, rest % 3600 / 60, rest % 60
        }' "${scratch}/took"
}

worker() { # worker <slot>: work on the next experiment of the list until none is left
    local lock busy name conf dump options before began number task out place gpu
    exec {lock}>>"${scratch}/lock"
    if ((${#gpus[@]})); then
        gpu=$(($1 % ngpu))
        export CUDA_VISIBLE_DEVICES=${mps_gpus[gpu]}
    fi
    while kill -0 $$ 2>/dev/null; do # as long as the main script lives
        flock "${lock}"
        IFS=$'\037' read -r name conf dump options before <&"${queue}" || break
        echo "${name}" >>"${scratch}/begun"
        number=$(wc -l <"${scratch}/begun")
        exec {busy}>"${scratch}/busy.${name//\//.}" # locked until the experiment has ended, well or not
        flock "${busy}"
        flock -u "${lock}"
        [[ -z ${before} ]] || flock -s "${scratch}/busy.${before}" true # wait for the experiment that must end first
        began=${SECONDS}
        # place: where the logs are; the third column of `pretrain` is a checkpoint instead of the dump
        task="${doing} ${name} (${number} of ${total})" out=${scratch}/out.$1 place=${exp}/${name%%/*}
        [[ ${what} != label ]] || place=${dump}/${name}
        [[ ${what} != pretrain ]] || place=${dump%.*}.log
        # the output is also in the experiment's own log; RUN_OWNER (utils/step.sh) ends its jobs with this script
        if (experiment "${name}" "${conf}" "${dump}" "${options-}" {lock}>&- {busy}>&- {queue}<&-) >"${out}" 2>&1; then
            if tail -n 1 "${out}" | grep -q 'already done$'; then
                echo "${name}" >>"${scratch}/ended"
                say "${task}: already done"
            else
                echo $((SECONDS - began)) >>"${scratch}/took"
                echo "${name}" >>"${scratch}/ended"
                say "${task}: $((SECONDS - began)) s${gpu:+ on GPU ${gpus[gpu]}}$(time_left)"
            fi
        else
            tail -n 20 "${out}" >&2
            say "${task}: failed (see ${place})"
            echo "${name}" | tee -a "${scratch}/ended" >>"${scratch}/failed"
        fi
        exec {busy}>&-
    done
}

at_once=$((jobs < total ? jobs : total))
if [[ ${mps} == true ]] && ((${#gpus[@]} && at_once > ngpu)); then
    mps_start "${scratch}/mps" "$(((at_once + ngpu - 1) / ngpu))" "${gpus[@]:0:ngpu}"
else
    mps_gpus=(${gpus[@]+"${gpus[@]}"})
fi
exec {queue}<"${scratch}/list"
workers=()
for ((slot = 0; slot < jobs && slot < total; slot++)); do
    worker "${slot}" &
    workers+=($!)
done
trap 'kill "${workers[@]}" 2>/dev/null || true; exit 143' TERM INT HUP
broken=""
for process in "${workers[@]}"; do wait "${process}" || broken=yes; done
[[ -z ${broken} ]] || die "a process of the sweep was killed: the same command goes on"
[[ ! -s ${scratch}/failed ]] || {
    printf '%s: failed: %s\n' "$(basename "$0")" "$(paste -sd ' ' "${scratch}/failed")" >&2
    exit 1
}
