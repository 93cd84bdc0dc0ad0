#!/usr/bin/env bash
# Decide on events from posteriors and score them.
#
# usage: steps/score.sh [options] <dump/set> <exp/x/set>
#
#   --cmd CMD           script that runs the jobs: utils/run.sh here, utils/slurm.sh on a cluster (utils/run.sh)
#   --score-args ARGS   more options of sed.bin.score, one string
#   --nj N              processes; 0: one per processor core (0)
#   --force BOOL        redo what is finished (false)
#
# Reads <exp/x/set>/scores.h5; writes <exp/x/set>/{events.tsv,result.json} and, by default, bootstrap.npz and
# report.html. Redone if the scores, the ground truth, the durations, ARGS or files named in them have changed.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder
root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cmd=${root}/utils/run.sh score_args="" nj=0 force=false
source "${root}/utils/parse_options.sh"
(($# == 2)) || usage
dump=${1%/} out=${2%/}
source "${root}/utils/step.sh"

labels=$(labels_of "${dump}")
scores=${out}/scores.h5 result=${out}/result.json truth=${labels}/events.tsv durations=${labels}/durations.tsv
[[ -f ${scores} ]] || die "${scores}: no such file (infer.sh makes it)"
[[ -f ${truth} ]] || die "${truth}: no such file (only a set with strong labels can be scored)"
use_folder "${out}"
split_words "${score_args}"
asked=$(printf '%s\n' "${dump}" ${words[@]+"${words[@]}"})
inputs=$(state_of "${scores}" && cksum <"${truth}") durations_sum=$([[ ! -f ${durations} ]] || cksum <"${durations}")
earlier=${asked}$'\n'$(printf '%s\n' "${inputs}" && state_of_words)
state=${earlier}$'\n'${durations_sum}
# Earlier versions stored no state of the durations, or only the arguments: what is not stored counts by its time.
if [[ ${force} == false && -f ${result} ]] && { same "${out}/.score" "${state}" ||
    { [[ ! ${durations} -nt ${result} ]] && { same "${out}/.score" "${earlier}" ||
        { same "${out}/.score" "${asked}" && [[ ! ${scores} -nt ${result} && ! ${truth} -nt ${result} ]]; }; }; }; }; then
    finished "${result}: already done"
fi
# Nothing stays of an earlier scoring, which may have written more than this one. But if this one fails, over a mistyped option
# for instance, the earlier one comes back, unless it is of other scores, truth or durations.
written=(result.json events.tsv report.html bootstrap.npz .score) aside=${out}/.earlier
rm -rf "${aside}"
[[ ! -f ${result} || ! -f ${out}/.score || $(<"${out}/.score") != *$'\n'"${inputs}"*$'\n'"${durations_sum}" ]] || mkdir "${aside}"
# shellcheck disable=SC2317,SC2329  # the trap calls it
put_back() {
    [[ ! -d ${aside} || -e ${result} ]] || (cd "${out}" && rm -f "${written[@]}" && find .earlier -type f -exec mv {} . \;)
    rm -rf "${aside}"
}
trap put_back EXIT
for file in "${written[@]}"; do
    [[ ! -d ${aside} || ! -e ${out}/${file} ]] || mv "${out}/${file}" "${aside}"
    rm -f "${out}/${file}"
done
"${cmd[@]}" "${out}/log/score.log" \
    python3 -m sed.bin.score "${scores}" --ground-truth "${truth}" --durations "${durations}" \
    --jobs "${nj}" --out "${result}" ${words[@]+"${words[@]}"}
remember "${out}/.score" "${state}"
