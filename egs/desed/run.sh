#!/usr/bin/env bash
# AST-GRU and AST-SED on DESED, from downloads to scores.
#
# usage: egs/desed/run.sh [options]
#
# Stages: 0 downloads, 1 data directories, 2 features, 3 training of AST-GRU, 4 training of AST-SED and all others (published
# detectors are imported), 5 scores, written to RESULTS.md. Finished work is skipped, killed work is resumed. SED_BACKEND=slurm runs on
# a cluster. FILE and files in --systems are looked for in the current folder, in egs/desed and at the top of the repository, files in ARGS in egs/desed.
#
#   --stage N             first stage (0)
#   --stop-stage N        last stage (5)
#   --work DIR            folder of downloads, data, dump, exp and RESULTS.md (the recipe's folder)
#   --systems LIST        systems to train and score: configs by name, of the folder of --conf or else of conf/, or files ("ast_gru ast_sed")
#   --seeds LIST          seeds of every system, in exp/<config>_seed<k>; "": the config's seed, in exp/<config> ("")
#   --conf FILE           config of the system ast_sed (conf/ast_sed.yaml)
#   --tag NAME            name of ast_sed's folder in exp/ (the config's name)
#   --gru-conf FILE       config of the system ast_gru, which stage 3 trains (conf/ast_gru.yaml)
#   --feature-conf FILE   front end of stage 2, for configs without `features` or with conf/logmel.yaml (conf/logmel.yaml)
#   --pretrained FILE     checkpoint of the encoder; 'none': random weights (the one of stage 0 for the config's encoder)
#   --train-args ARGS     more options of sed.bin.train, one string: "--lr 1e-4 --seed 2"
#   --infer-args ARGS     more options of sed.bin.infer
#   --score-args ARGS     more options of sed.bin.score
#   --test-sets SETS      sets that stage 5 scores on, one string ("validation")
#   --nj N                parallel jobs of stage 2 (4); for stage 1: --prepare "local/prepare.sh --nj N"
#   --infer-nj N          parallel jobs of stage 5's inference (1)
#   --ngpu N              GPUs of stages 3-5; 0: the CPU (1)
#   --nodes N             machines of stages 3 and 4, each with --ngpu GPUs (1)
#   --force BOOL          repeat finished work of stages 2-5 (false)
#   --download CMD        stage 0's command, one string ("local/download.sh")
#   --prepare CMD         stage 1's command, one string ("local/prepare.sh")
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
command="egs/desed/run.sh${*:+ $(printf '%q ' "$@")}"
stage=0 stop_stage=5 work="" systems="ast_gru ast_sed" seeds="" conf=conf/ast_sed.yaml tag="" gru_conf=conf/ast_gru.yaml
feature_conf=conf/logmel.yaml pretrained="" train_args="" infer_args="" score_args="" test_sets=validation nj=4 infer_nj=1
ngpu=1 nodes=1 force=false download=local/download.sh prepare=local/prepare.sh
source "${here}/utils/parse_options.sh"
(($# == 0)) || usage
((nj > 0)) || die "--nj is at least 1, not ${nj}"

from() { # from <file>: print its path; if relative, it is looked up in the folder of the call, here, then at the repository's top
    for top in "${OLDPWD}/" '' "${here%egs/desed}" ''; do [[ -z $1 || $1 == /* || ! -e ${top}$1 ]] || break; done
    printf '%s' "${top}$1" # as given if it is empty, absolute or nowhere
}
stage() { # stage <n> <title>: true if stage n is to run; prints its start
    ((stage <= $1 && $1 <= stop_stage)) || return 1
    printf '%s stage %d: %s\n' "$(date +%FT%T)" "$1" "$2"
}

[[ -z ${work} ]] || { mkdir -p "${work}" && work=$(cd "${work}" && pwd)/; } || die "--work ${work}: cannot be made"
cd "${here}"
for file in conf gru_conf feature_conf pretrained; do printf -v "${file}" '%s' "$(from "${!file}")"; done
export SED_COMMAND=${SED_COMMAND:-${command% }} RUN_OWNER=${RUN_OWNER:-$$} # stated in results; all jobs end with this process
source ./path.sh
source ./cmd.sh
downloads=${work}downloads data=${work}data dump=${work}dump exp=${work}exp gru=() others=()
for system in ${systems}; do
    case ${system} in
        ast_gru) gru=("${gru_conf}") ;;
        ast_sed) others+=("${tag:+${tag}=}${conf}") ;; # NAME=FILE: the experiment's name and config (sed.bin.experiments)
        */* | *.yaml) others+=("$(from "${system}")") ;;
        *) others+=("${system}") ;;
    esac
done
call() { # call <option> <its command> <argument...>: run the command with these arguments, too
    split_words "$2"
    command -v "${words[0]-}" >/dev/null || die "$1: no such command in ${here}: ${words[0]-}"
    "${words[@]}" "${@:3}"
}
list() { # list <what> [<config>...]: print this list of steps/experiments.sh
    steps/experiments.sh --dump "${dump}" --exp "${exp}" --seeds "${seeds}" --conf-dirs "$(quoted "$(dirname "${conf}")") conf" \
        --feature-conf "${feature_conf}" --pretrained "${pretrained}" --downloads "${downloads}" "$@"
}
train() { # train [<config>...]: make the pseudo-labels that they need, by models that exist, then train them; import published detectors
    list label "$@" | steps/sweep.sh --cmd "${cuda_cmd}" --ngpu "$((ngpu > 0))" --force "${force}" label - "${exp}"
    list train "$@" | steps/each.sh --cmd "${cuda_cmd}" --ngpu "${ngpu}" --nodes "${nodes}" --train-args "${train_args}" \
        --force "${force}" train - "${exp}"
    list import "$@" | steps/each.sh --cmd "${cuda_cmd}" --ngpu "${ngpu}" --force "${force}" import - "${exp}"
}
front_ends=$(list features ${gru[@]+"${gru[@]}"} ${others[@]+"${others[@]}"}) # an unknown name is refused before any work
((stage <= stop_stage && stage <= 5)) || die "no stage between --stage ${stage} and --stop-stage ${stop_stage} (there are 0 to 5)"

if stage 0 "downloads"; then call --download "${download}" "${downloads}"; fi
if stage 1 "data directories"; then call --prepare "${prepare}" "${downloads}" "${data}"; fi
if stage 2 "features"; then
    steps/dump_sets.sh --cmd "${train_cmd}" --nj "${nj}" --force "${force}" "${data}" - <<<"${front_ends}"
fi
if ((${#gru[@]})) && stage 3 "train AST-GRU"; then train "${gru[@]}"; fi
if ((${#others[@]})) && stage 4 "train ${others[*]}"; then train "${others[@]}"; fi
if stage 5 "scores"; then
    for what in score cross_fit; do
        list "${what}" ${gru[@]+"${gru[@]}"} ${others[@]+"${others[@]}"} |
            steps/each.sh --cmd "${cuda_cmd}" --ngpu "${ngpu}" --infer-nj "${infer_nj}" --infer-args "${infer_args}" --score-cmd "${train_cmd}" \
                --score-args "${score_args}" --test-sets "${test_sets}" --force "${force}" "${what}" - "${exp}"
    done
    steps/results.sh "${exp}" "${work}RESULTS.md"
fi
