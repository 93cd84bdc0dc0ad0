#!/usr/bin/env bash
# Pre-train an encoder as a tagger, to train detectors without published weights; a killed run is resumed.
#
# usage: steps/pretrain.sh [options] <conf/x.yaml> <soundbank or dump/set> <encoder.pth>
#
#   --cmd CMD               script that runs the jobs: utils/run.sh here, utils/slurm.sh on a cluster (utils/run.sh)
#   --ngpu N                GPUs, which share each batch; 0: the CPU (1)
#   --pretrain-args ARGS    more options of sed.bin.pretrain, one string
#   --force BOOL            pre-train again (false)
#
# <conf/x.yaml> is a config of sed.bin.pretrain, such as conf/real_sounds/pretrain.yaml. From a soundbank, soundscapes
# are mixed during training; a dumped set needs events.tsv, soft.tsv or tags.tsv.
# Writes <encoder.pth>, from which training starts by --pretrained <encoder.pth>; an AST has the layout of the published
# AudioSet checkpoint.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder
root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cmd=${root}/utils/run.sh ngpu=1 pretrain_args="" force=false
source "${root}/utils/parse_options.sh"
(($# == 3)) || usage
conf=$1 data=${2%/} out=$3
stem=${out} # without the file's suffix, but with dots of folders
[[ ${out##*/} != *.* ]] || stem=${out%.*}
source "${root}/utils/step.sh"

[[ -f ${conf} ]] || die "${conf}: no such config (the recipes' are in conf/)"
[[ -d ${data} ]] || die "${data}: no such folder (a soundbank, or a dumped set, is expected)"
split_words "${pretrain_args}"
if [[ ${force} == true || " ${words[*]-} " == *" --force "* ]]; then
    words+=(--force)
elif [[ -e ${out} ]]; then # the command trains nothing then, but refuses a config that is not the checkpoint's
    quietly python3 -m sed.bin.pretrain --config "${conf}" ${words[@]+"${words[@]}"} "${data}" "${out}"
    finished "${out}: already done"
fi
use_folder "$(dirname "${out}")" "$(basename "${stem}")" # not the whole folder: a corpus may be made there at the same time
launch=(python3 -m)
((ngpu < 2)) || launch=(python3 -m sed.bin.launch --nproc-per-node "${ngpu}" --standalone -m)
"${cmd[@]}" --gpu "${ngpu}" "${stem}.log" \
    "${launch[@]}" sed.bin.pretrain --config "${conf}" ${words[@]+"${words[@]}"} "${data}" "${out}"
[[ -e ${out} ]] || die "${out}: pre-training ended without it (see ${stem}.log)"
