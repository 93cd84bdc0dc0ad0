#!/usr/bin/env bash
# Detection without training: convert a published detector with its head to a packed model, and tune cSEBBs (change-
# detection-based sound event bounding boxes) on synthetic validation clips.
#
# usage: steps/import_model.sh [options] <conf/x.yaml> <checkpoint> <dump> <exp/x>
#
#   --cmd CMD           script that runs the jobs: utils/run.sh here, utils/slurm.sh on a cluster (utils/run.sh)
#   --ngpu N            0: the CPU; else one GPU (1)
#   --class-map FILE    table of class and label: the head's classes that make up each label (needed)
#   --tune-set SET      set of the dump that cSEBBs and thresholds are tuned on, if the dump has it (synth_valid)
#   --force BOOL        redo what is finished (false)
#
# The checkpoint is a file, or the name of one that is downloaded (atst-f-strong). Writes <exp/x>, a packed model whose
# labels are those of <dump>/labels.txt, and in it tuned.json. Redone if the checkpoint, the class map, the config, the
# labels, --tune-set or the set itself have changed, or the set was not there before.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder
root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cmd=${root}/utils/run.sh ngpu=1 class_map="" tune_set=synth_valid force=false
source "${root}/utils/parse_options.sh"
(($# == 4)) || usage
conf=$1 checkpoint=$2 dump=${3%/} exp=${4%/} asked_cmd=${cmd}
source "${root}/utils/step.sh"

[[ -f ${conf} ]] || die "${conf}: no such config (the recipes' are in conf/)"
[[ -f ${class_map} ]] || die "--class-map '${class_map}': no such file (a table of class and label)"
[[ -f ${dump}/labels.txt ]] || die "${dump}/labels.txt: no such file (run stage 2 first, of this config's features)"
use_folder "$(dirname "${exp}")" "$(basename "${exp}")" # the lock lies beside the folder, which the new model replaces
asked=$(printf '%s\n' "${checkpoint}" "${class_map}" "${tune_set}" && cksum "${conf}" "${class_map}" "${dump}/labels.txt")
! grep -q '^base:' "${conf}" || asked+=$'\n'$(python3 -m sed.bin.show_config "${conf}" | cksum)
[[ ! -f ${checkpoint} ]] || asked+=$'\n'$(state_of "${checkpoint}")
tuned_on=${dump}/${tune_set}/events.tsv state=${asked}
if [[ -f ${tuned_on} ]]; then
    shopt -s nullglob
    state+=$'\n'$(cksum <"${tuned_on}" && state_of "${dump}/${tune_set}"/feats.{scp,*.h5})
fi
current() { # is all that the model was made from unchanged?
    same "${exp}/.imported" "${state}" && return
    # Earlier versions stored no state of the set: its files must not be newer than the tuning.
    same "${exp}/.imported" "${asked}" &&
        [[ ! ${tuned_on} -nt ${exp}/tuned.json && ! ${dump}/${tune_set}/feats.scp -nt ${exp}/tuned.json ]]
}
if [[ ${force} == false && -f ${exp}/model.json && (-f ${exp}/tuned.json || ! -f ${tuned_on}) ]] && current; then
    finished "${exp}: already done"
fi
rm -f "${exp}/.imported"
import() { # import [<option>...]
    "${cmd[@]}" "${exp}.import.log" python3 -m sed.bin.import_model --config "${conf}" --class-map "${class_map}" \
        --labels "${dump}/labels.txt" "$@" "${checkpoint}" "${exp}"
}
import
rm -f "${exp}/tuned.json"
if [[ -f ${tuned_on} ]]; then
    "${root}/steps/tune.sh" --cmd "${asked_cmd}" --ngpu "${ngpu}" "${dump}/${tune_set}" "${exp}" "${exp}/tuned.json"
    import --tuned "${exp}/tuned.json" # once more: `predict` then uses the same post-processing as `score`
else
    say "${exp}: cSEBBs are not tuned: there is no ${dump}/${tune_set} with events"
fi
remember "${exp}/.imported" "${state}"
