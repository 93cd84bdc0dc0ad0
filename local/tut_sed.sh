#!/usr/bin/env bash
# Stage 0 of tut_sed: download TUT Sound Events 2017 (6 classes, 32 recordings of streets) and lay it out as DESED is.
#
# usage: local/tut_sed.sh [options] <downloads>
#
#   --archives DIR       files that you downloaded by hand: TUT-sound-events-2017-{development,evaluation}.*.zip
#   --mirror URL         server to use instead of all hosts (Zenodo, Hugging Face, ...); paths on a host are appended to URL
#   --ast FILE           AudioSet AST checkpoint to link instead of downloading one
#   --fold N             fold of the corpus's four whose test recordings become the validation set; 0: train on all 24, without
#                        a validation set, for which run.sh needs --test-sets public_eval (1)
#   --nj N               downloads at once, and recordings that are cut at once (3)
#
# The development recordings become DESED's strong_real and validation, the 8 of evaluation public_eval, in clips of
# 10 s. Archives of audio hold a folder with audio/street/<recording>.wav, those of metadata one with
# meta/street/<recording>.ann and, for development, evaluation_setup/street_fold<N>_{train,test}.txt. Another layout is refused.

[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder

root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
archives='' mirror='' ast='' fold=1 nj=3
# shellcheck source=utils/parse_options.sh
source "${root}/utils/parse_options.sh"
(($# == 1)) || usage
((fold <= 4)) || die "--fold ${fold}: the corpus has folds 1 to 4; 0 trains on all recordings"
downloads=$1
export PYTHONPATH=${root}${PYTHONPATH:+:${PYTHONPATH}}
classes=("brakes squeaking" car children "large vehicle" "people speaking" "people walking")

options=(--corpus tut_sed --parts "development,evaluation,ast" --nj "${nj}")
[[ -z ${archives} ]] || options+=(--archives "${archives}")
[[ -z ${mirror} ]] || options+=(--mirror "${mirror}")
[[ -z ${ast} ]] || options+=(--ast "${ast}")
"${root}/local/download.sh" "${options[@]}" "${downloads}"
note=${downloads}/.fold
if [[ -e ${note} && $(<"${note}") != "${fold}" ]]; then
    die "${downloads}: is laid out with fold $(<"${note}"), not ${fold} (give each fold a --work of its own, and --archives)"
fi
printf '%s\n' "${fold}" >"${note}.part"
mv "${note}.part" "${note}"

# only the recordings of the list, if one is given, else all
lay_out() { # lay_out <development|evaluation> <folder in audio/> <table in metadata/> [<list in evaluation_setup/>]
    local list=()
    [[ $# == 3 ]] || list=(--list "${downloads}/$1/evaluation_setup/$4")
    python3 -m sed.bin.lay_out_set --nj "${nj}" --suffix .ann --known "$(IFS=, && echo "${classes[*]}")" \
        ${list[@]+"${list[@]}"} "${downloads}/$1/audio/street" "${downloads}/$1/meta/street" \
        "${downloads}/audio/$2" "${downloads}/metadata/$3"
}
if ((fold)); then
    lay_out development train/strong_label_real train/audioset_strong.tsv "street_fold${fold}_train.txt"
    lay_out development validation/validation validation/validation.tsv "street_fold${fold}_test.txt"
else
    lay_out development train/strong_label_real train/audioset_strong.tsv
fi
lay_out evaluation eval/public eval/public.tsv
printf '%s\n' "${classes[@]}" >"${downloads}/metadata/labels.txt.part"
mv "${downloads}/metadata/labels.txt.part" "${downloads}/metadata/labels.txt"
