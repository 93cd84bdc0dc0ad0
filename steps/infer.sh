#!/usr/bin/env bash
# Compute the posteriors of a trained model on a dumped set.
#
# usage: steps/infer.sh [options] <dump/set> <exp/x> <exp/x/set>
#
#   --cmd CMD           script that runs the jobs: utils/run.sh here, utils/slurm.sh on a cluster (utils/run.sh)
#   --nj N              parallel jobs, each on a part of the clips (1)
#   --ngpu N            0: the CPU; else one GPU per job (1)
#   --infer-args ARGS   more options of sed.bin.infer, one string
#   --force BOOL        redo what is finished (false)
#
# Writes <exp/x/set>/scores.h5 atomically. Redone if the model, the features or ARGS have changed. If <dump/set> has
# recordings/, its clips are overlapping windows: scores.h5 has the recordings' scores, windows.h5 the windows'.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder
root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cmd=${root}/utils/run.sh nj=1 ngpu=1 infer_args="" force=false
source "${root}/utils/parse_options.sh"
(($# == 3)) || usage
((nj > 0)) || die "--nj is at least 1"
dump=${1%/} model=${2%/} out=${3%/}
source "${root}/utils/step.sh"

[[ -f ${dump}/feats.scp ]] || die "${dump}/feats.scp: no such file (run stage 2 first; sets are folders of the dump)"
weights=${model}/final.pt
[[ ! -f ${model}/model.json ]] || weights=${model}/model.json # a packed model: its config, and the checksum of its weights
[[ -f ${weights} ]] || die "${weights}: no such file (train the model first: stages 3 and 4)"
use_folder "${out}"
split_words "${infer_args}" # sets `words`
asked=$(printf '%s\n' "${dump}" ${words[@]+"${words[@]}"})
scores=${out}/scores.h5
shopt -s nullglob # a dump of an earlier version may have its features elsewhere
state=$(state_of "${weights}" "${dump}/feats.scp" "${dump}"/feats.*.h5)
# Earlier versions stored only the arguments in .infer: their scores count as current if they are newer than model and dump.
if [[ ${force} == false && -f ${scores} ]] && { same "${out}/.infer" "${asked}"$'\n'"${state}" ||
    { same "${out}/.infer" "${asked}" && [[ ! ${weights} -nt ${scores} && ! ${dump}/feats.scp -nt ${scores} ]]; }; }; then
    finished "${scores}: already done"
fi
# The scores of the posteriors to be replaced, and what those were made from, go first. They come back if this fails, over a
# mistyped option for instance, unless model or dump are others now or the posteriors have been replaced.
posteriors=$([[ ! -f ${scores} ]] || state_of "${scores}")
aside=${out}/.before
rm -rf "${aside}"
[[ ! ${posteriors} || ! -f ${out}/.infer || $(<"${out}/.infer") != *$'\n'"${state}" ]] || mkdir "${aside}"
# shellcheck disable=SC2317,SC2329  # the trap calls it
put_back() {
    [[ ! -d ${aside} || $(state_of "${scores}") != "${posteriors}" ]] || find "${aside}" -type f -exec mv {} "${out}" \;
    rm -rf "${aside}"
}
trap put_back EXIT
for file in result.json .infer; do
    [[ ! -d ${aside} || ! -e ${out}/${file} ]] || mv "${out}/${file}" "${aside}"
    rm -f "${out}/${file}"
done
inferred=${scores} labels=$(labels_of "${dump}")
[[ ${labels} == "${dump}" ]] || inferred=${out}/windows.h5
infer=(python3 -m sed.bin.infer --model "${model}" ${words[@]+"${words[@]}"})
if ((nj == 1)); then
    "${cmd[@]}" --gpu "$((ngpu > 0))" "${out}/log/infer.log" "${infer[@]}" "${dump}" "${inferred}"
else
    parts=${out}/parts made_from=${asked}$'\n'${nj}$'\n'${state}
    if [[ ${force} == true ]] || ! same "${parts}/.of" "${made_from}"; then # else the parts of a killed run are still valid
        rm -rf "${parts}" "${out}"/log/infer.*.log
        mkdir -p "${parts}"
        remember "${parts}/.of" "${made_from}"
    fi
    "${cmd[@]}" --pick incomplete --gpu "$((ngpu > 0))" JOB=1:"${nj}" "${out}/log/infer.JOB.log" \
        "${infer[@]}" --part "JOB/${nj}" "${dump}" "${parts}/scores.JOB.h5"
    files=()
    for ((job = 1; job <= nj; job++)); do files+=("${parts}/scores.${job}.h5"); done
    python3 -m sed.bin.merge_scores "${files[@]}" "${dump}" "${inferred}" || {
        merged=$?
        rm -rf "${parts}" # they do not fit together: the next run computes them again
        exit "${merged}"
    }
fi
[[ ${labels} == "${dump}" ]] || python3 -m sed.bin.stitch_scores "${inferred}" "${labels}" "${scores}"
rm -rf "${aside}"
remember "${out}/.infer" "${asked}"$'\n'"${state}"
rm -rf "${out}/parts"
