#!/usr/bin/env bash
# Collect the results of the recipe egs/real_sounds, by config and seed, in a folder, and write RESULTS.md from it.
#
# usage: local/real_sounds_report.sh [options] <exp> <dump> <results> <RESULTS.md>
#
#   --cmd CMD        script that runs the jobs: utils/run.sh here, utils/slurm.sh on a cluster (utils/run.sh)
#   --ngpu N         0: the CPU; else one GPU (1)
#   --tagger FILE    pre-trained AST whose tagging mAP is measured, again only if FILE is newer; not measured without it,
#                    if it is 'none', or without the config that pre-training writes beside it
#   --sources FILE   sources.json of stage 0: for each label of the soundbank, the numbers of sources (such as uploads) and of recordings
#   --figure3 DIR    output folder of steps/figure3.sh, whose picture figure3_swapped.png (one band instead of the mean) is shown
#   --test-set SET   set of the dump that was scored (validation)
#   --archive NAME   first turn what <results> holds into an earlier run called NAME, of which only main numbers stay
#
# Defaults are in parentheses. A FILE or DIR that does not exist is ignored. Adds each
# <exp>/<config>_seed<k>/<set>/result.json to <results>, and keeps the results of other configs and seeds there.
# RESULTS.md can also be written from <results> alone, from the top of the repository:
# python3 -m local.real_sounds.report <results> <RESULTS.md>
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder
root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cmd=${root}/utils/run.sh ngpu=1 tagger="" sources="" figure3="" test_set=validation archive=""
source "${root}/utils/parse_options.sh"
(($# == 4)) || usage
exp=${1%/} dump=${2%/} results=${3%/} page=$4
source "${root}/utils/step.sh"

options=()
# a missing file is no error: run.sh names them all, even those that were not made (figure 3 with --analysis false)
[[ -z ${sources} || ! -f ${sources} ]] || options+=(--sources "${sources}")
if [[ -n ${tagger} && -f ${tagger} && ! -f ${tagger%.*}.yaml ]]; then
    printf '%s: %s\n' "${tagger}" "its tagging mAP is not measured: no $(basename "${tagger%.*}").yaml beside it" >&2
elif [[ -n ${tagger} && ${tagger} != none && -f ${tagger} ]]; then
    [[ ${exp}/tagging.json -nt ${tagger} ]] || "${cmd[@]}" --gpu "$((ngpu > 0))" "${exp}/log/tagging.log" \
        python3 -m sed.bin.evaluate_tagger "${tagger}" "${dump}/${test_set}" --out "${exp}/tagging.json"
    options+=(--tagging "${exp}/tagging.json")
fi
if [[ -n ${figure3} && -f ${figure3}/figure3_swapped.png ]]; then
    mkdir -p "${results}" || die "${results}: cannot be made (see above)"
    copy "${figure3}/figure3_swapped.png" "${results}/figure3.png"
fi
[[ -z ${archive} ]] || options+=(--archive "${archive}")
python3 -m local.real_sounds.report --exp "${exp}" --dump "${dump}" --set "${test_set}" \
    ${options[@]+"${options[@]}"} "${results}" "${page}"
