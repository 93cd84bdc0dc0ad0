#!/usr/bin/env bash
# Posteriors of a trained model on a dumped set.
#
# usage: steps/infer.sh [options] <dump/set> <exp/x> <exp/x/set>
#
#   --cmd CMD           where it runs (utils/run.sh)
#   --ngpu N            GPUs; 0: the CPU (1)
#   --infer-args ARGS   more options of sed.bin.infer, one string
#   --force BOOL        redo what is finished (false)
#
# Writes <exp/x/set>/scores.h5. Redone when the model, the features or ARGS have changed since.
set -euo pipefail
root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cmd=${root}/utils/run.sh ngpu=1 infer_args="" force=false
source "${root}/utils/parse_options.sh"
(($# == 3)) || usage
dump=${1%/} model=${2%/} out=${3%/}
source "${root}/utils/step.sh"

[[ -f ${dump}/feats.scp ]] || die "${dump}/feats.scp: no such file (run stage 2 first; sets are folders of the dump)"
[[ -f ${model}/final.pt ]] || die "${model}/final.pt: no such file (train the model first: stages 3 and 4)"
use_folder "${out}"
split_words "${infer_args}"
asked=$(printf '%s\n' "${dump}" ${words[@]+"${words[@]}"})
scores=${out}/scores.h5
if [[ ${force} == false && -f ${scores} && ! ${model}/final.pt -nt ${scores} && ! ${dump}/feats.scp -nt ${scores} ]] &&
    same "${out}/.infer" "${asked}"; then
    finished "${scores}: already done"
fi
rm -f "${out}/result.json" "${out}/.infer"
"${cmd[@]}" --gpu "$((ngpu > 0))" "${out}/log/infer.log" \
    python3 -m sed.bin.infer --model "${model}" ${words[@]+"${words[@]}"} "${dump}" "${scores}"
remember "${out}/.infer" "${asked}"
