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
earlier=${asked}$'\n'$(state_of "${scores}" && cksum <"${truth}" && state_of_words)
state=${earlier}$'\n'$([[ ! -f ${durations} ]] || cksum <"${durations}")
# Earlier versions stored no state of the durations, or only the arguments: what is not stored counts by its time.
if [[ ${force} == false && -f ${result} ]] && { same "${out}/.score" "${state}" ||
    { [[ ! ${durations} -nt ${result} ]] && { same "${out}/.score" "${earlier}" ||
        { same "${out}/.score" "${asked}" && [[ ! ${scores} -nt ${result} && ! ${truth} -nt ${result} ]]; }; }; }; }; then
    finished "${result}: already done"
fi
# of an earlier scoring, which may have written more than this one; the command replaces or removes bootstrap.npz
rm -f "${result}" "${out}"/{events.tsv,report.html,.score}
"${cmd[@]}" "${out}/log/score.log" \
    python3 -m sed.bin.score "${scores}" --ground-truth "${truth}" --durations "${durations}" \
    --jobs "${nj}" --out "${result}" ${words[@]+"${words[@]}"}
remember "${out}/.score" "${state}"
