#!/usr/bin/env bash
# Write a dumped strong set with pseudo-labels of a trained or packed model; it refers to the features of the given sets.
#
# usage: steps/pseudo_label.sh [options] <exp/x> <dump/set...> <dump/pseudo>
#
#   --cmd CMD           script that runs the jobs: utils/run.sh here, utils/slurm.sh on a cluster (utils/run.sh)
#   --ngpu N            0: the CPU; else one GPU (1)
#   --label-args ARGS   more options of sed.bin.pseudo_label, one string
#   --force BOOL        redo what is finished (false)
#
# Clips with tags (tags.tsv) get events of these labels only. Redone if the model, the sets, their features or tags,
# ARGS or files named in them have changed.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder
root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cmd=${root}/utils/run.sh ngpu=1 label_args="" force=false
source "${root}/utils/parse_options.sh"
(($# >= 3)) || usage
model=${1%/} out=${*: -1} sets=("${@:2:$#-2}")
out=${out%/}
source "${root}/utils/step.sh"

weights=${model}/final.pt
[[ ! -f ${model}/model.json ]] || weights=${model}/model.json # a packed model, with the checksum of its weights
[[ -f ${weights} ]] || die "${weights}: no such file (train the model first)"
for set in "${sets[@]}"; do
    [[ -f ${set}/feats.scp ]] || die "${set}/feats.scp: no such file (run stage 2 first)"
done
use_folder "${out}"
split_words "${label_args}"
asked=$(printf '%s\n' "${model}" "${sets[@]}" ${words[@]+"${words[@]}"})
inputs=()
for set in "${sets[@]}"; do
    # tags.tsv is optional, and a dump of an earlier version may have its features elsewhere
    for file in "${set}"/{feats.scp,durations.tsv,tags.tsv} "${set}"/feats.*.h5; do
        [[ ! -f ${file} ]] || inputs+=("${file}")
    done
done
state=$(state_of "${weights}" "${inputs[@]}" && state_of_words)
# Earlier versions stored only the arguments in .asked: such labels are current if they are newer than model and sets.
if [[ ${force} == false && -f ${out}/feats.scp ]] && { same "${out}/.asked" "${asked}"$'\n'"${state}" ||
    { same "${out}/.asked" "${asked}" &&
        [[ -z $(find -L "${weights}" "${inputs[@]}" -newer "${out}/feats.scp") ]]; }; }; then
    finished "${out}: already done"
fi
# The note of what the labels are from goes first, and the list of clips with it if model or sets are others now. The note comes
# back if this fails, over a mistyped option for instance, unless the labels have been replaced. A set of another kind stays
# as it is; pseudo_label refuses it.
origin=${out}/pseudo_labels.json aside=${out}/.before
rm -f "${aside}"
if [[ -f ${origin} ]]; then
    sum=$(cksum <"${origin}")
    if [[ -f ${out}/feats.scp && -f ${out}/.asked && $(<"${out}/.asked") == *$'\n'"${state}" ]]; then
        mv "${out}/.asked" "${aside}"
    else
        rm -f "${out}"/{feats.scp,.asked}
    fi
fi
# shellcheck disable=SC2317,SC2329  # the trap calls it
put_back() {
    [[ ! -f ${aside} || ! -f ${out}/feats.scp || $(cksum <"${origin}") != "${sum}" ]] || mv "${aside}" "${out}/.asked"
    rm -f "${aside}"
}
trap put_back EXIT
"${cmd[@]}" --gpu "$((ngpu > 0))" "${out}/log/label.log" \
    python3 -m sed.bin.pseudo_label --model "${model}" ${words[@]+"${words[@]}"} "${sets[@]}" "${out}"
rm -f "${aside}"
remember "${out}/.asked" "${asked}"$'\n'"${state}"
