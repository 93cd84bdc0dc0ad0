#!/usr/bin/env bash
# Figure 3 of the AST-SED paper: each class's event-based F1 if AST-GRU sees a single frequency band instead of the mean
# over bands.
#
# usage: steps/figure3.sh [options] <dump/set> <exp/ast_gru> <exp/figure3>
#
#   --cmd CMD           script that runs the jobs: utils/run.sh here, utils/slurm.sh on a cluster (utils/run.sh)
#   --ngpu N            GPUs of each training of --retrain; inference uses one; 0: the CPU (1)
#   --jobs N            bands at once, on the same GPU (1)
#   --retrain BOOL      also train AST-GRU again on each band (false)
#   --conf FILE         config that --retrain trains (conf/ast_gru.yaml)
#   --pretrained FILE   the AST that --retrain starts from, 'none': random weights (the config's, if it names one)
#   --train-args ARGS   more options of sed.bin.train, one string
#   --infer-args ARGS   more options of sed.bin.infer, one string
#   --score-args ARGS   more options of sed.bin.score, one string
#   --force BOOL        redo what is finished (false)
#
# The paper does not say whether a model is trained for each band, hence two readings: `swapped` gives the trained model one
# band instead of the mean, `retrained` (--retrain) trains a model for each band. Writes <exp/figure3>/<reading>/band_KK/, and
# from these figure3.tsv, figure3_<reading>.png (four classes, which stand for high, low, middle and all bands) and
# figure3_<reading>_all.png.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder
root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cmd=${root}/utils/run.sh ngpu=1 jobs=1 retrain=false conf=${root}/conf/ast_gru.yaml pretrained="" train_args=""
infer_args="" score_args="" force=false
source "${root}/utils/parse_options.sh"
(($# == 3)) || usage
dump=${1%/} model=${2%/} out=${3%/}
asked_cmd=${cmd}
((jobs > 0)) || die "--jobs is at least 1"
cores=$(nproc)
nj=$((cores > jobs ? cores / jobs : 1)) # processes that score one band
source "${root}/utils/step.sh"

[[ -f ${model}/final.pt ]] || die "${model}/final.pt: no such file (train AST-GRU first: stage 3)"
set=$(basename "${dump}")
bands=$(python3 -m sed.bin.figure3 --model "${model}" --list | wc -l)
((bands > 0)) || die "${model}: no bands (see above)"
score() { # score <model> <folder> [option of sed.bin.infer...]: infer and score a model
    "${root}/steps/infer.sh" --cmd "${asked_cmd}" --ngpu "${ngpu}" --infer-args "${*:3} ${infer_args}" \
        --force "${force}" "${dump}" "$1" "$2" || return
    "${root}/steps/score.sh" --cmd "${asked_cmd}" --nj "${nj}" --score-args "${score_args}" --force "${force}" "${dump}" "$2"
}
score_band() { # score_band <band>: score AST-GRU with this band alone, by each reading of the paper
    local name
    name=$(printf 'band_%02d' "$1")
    say "band $(($1 + 1)) of ${bands}"
    score "${model}" "${out}/swapped/${name}" --band "$1" || return
    if [[ ${retrain} == true ]]; then
        "${root}/steps/train.sh" --cmd "${asked_cmd}" --ngpu "${ngpu}" --force "${force}" \
            --pretrained "${pretrained}" --train-args "${train_args} --pooling band --band $1" \
            "${conf}" "$(dirname "${dump}")" "${out}/retrained/${name}" || return
        score "${out}/retrained/${name}" "${out}/retrained/${name}/${set}"
    fi
}
for ((first = 0; first < bands; first += jobs)); do
    running=()
    for ((band = first; band < first + jobs && band < bands; band++)); do
        score_band "${band}" &
        running+=($!)
    done
    for process in "${running[@]}"; do wait "${process}"; done
done
python3 -m sed.bin.figure3 --model "${model}" "${out}"
