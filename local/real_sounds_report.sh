#!/usr/bin/env bash
# Collect the results of real_sounds' configs and seeds in a folder, and write RESULTS.md from it.
#
# usage: local/real_sounds_report.sh [options] <exp> <dump> <results> <RESULTS.md>
#
#   --cmd CMD        script that runs the jobs: utils/run.sh here, utils/slurm.sh on a cluster (utils/run.sh)
#   --ngpu N         GPUs; 0: the CPU (1)
#   --tagger FILE    pre-trained AST whose tagging mAP is measured, too ('none': not measured)
#   --sources FILE   number of sources and recordings of each label (from sed.bin.split_soundbank --count)
#   --figure3 DIR    output folder of steps/figure3.sh, whose picture is shown
#   --test-set SET   set of the dump that was scored (validation)
#   --archive NAME   first archive the content of <results> as an earlier run of this name, main numbers only
#
# Adds <exp>/<config>_seed<k>/<set>/result.json to <results>, which keeps earlier ones. From the results alone:
# python3 -m local.real_sounds.report <results> <RESULTS.md>
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # with it, cd prints where it went
root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cmd=${root}/utils/run.sh ngpu=1 tagger="" sources="" figure3="" test_set=validation archive=""
source "${root}/utils/parse_options.sh"
(($# == 4)) || usage
exp=${1%/} dump=${2%/} results=${3%/} page=$4
source "${root}/utils/step.sh"

options=()
[[ -z ${sources} || ! -f ${sources} ]] || options+=(--sources "${sources}")
if [[ -n ${tagger} && ${tagger} != none && -f ${tagger} ]]; then
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
