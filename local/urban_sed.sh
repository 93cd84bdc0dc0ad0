#!/usr/bin/env bash
# Stage 0 of urban_sed: download URBAN-SED 2.0 (10 classes, 10,000 soundscapes) and lay it out as DESED is.
#
# usage: local/urban_sed.sh [options] <downloads>
#
#   --archives DIR       files that you downloaded by hand: URBAN-SED_v2.0.0.tar.gz
#   --mirror URL         server to use instead of all hosts (Zenodo, Hugging Face, ...); paths on a host are appended to URL
#   --ast FILE           AudioSet AST checkpoint to link instead of downloading one
#   --annotations KIND   files that the events are read from, txt or jams; both hold the same events (txt)
#   --nj N               downloads, then recordings laid out, at once (3)
#
# Its splits become DESED's sets: train -> strong_real, validate -> validation, test -> public_eval. The archive holds
# audio/<split>/<clip>.wav and annotations/<split>/<clip>.{txt,jams}. Another layout is refused.

[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder

root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
archives='' mirror='' ast='' annotations=txt nj=3
# shellcheck source=utils/parse_options.sh
source "${root}/utils/parse_options.sh"
(($# == 1)) || usage
[[ ${annotations} == txt || ${annotations} == jams ]] || die "--annotations '${annotations}': txt or jams"
downloads=$1
export PYTHONPATH=${root}${PYTHONPATH:+:${PYTHONPATH}}
classes=(air_conditioner car_horn children_playing dog_bark drilling engine_idling gun_shot jackhammer siren street_music)

options=(--corpus urban_sed --parts "corpus,ast" --nj "${nj}")
[[ -z ${archives} ]] || options+=(--archives "${archives}")
[[ -z ${mirror} ]] || options+=(--mirror "${mirror}")
[[ -z ${ast} ]] || options+=(--ast "${ast}")
"${root}/local/download.sh" "${options[@]}" "${downloads}"

lay_out() { # lay_out <split> <folder in audio/> <table in metadata/>
    python3 -m sed.bin.lay_out_set --nj "${nj}" --suffix ".${annotations}" --known "$(IFS=, && echo "${classes[*]}")" \
        "${downloads}/urban_sed/audio/$1" "${downloads}/urban_sed/annotations/$1" \
        "${downloads}/audio/$2" "${downloads}/metadata/$3"
}
lay_out train train/strong_label_real train/audioset_strong.tsv
lay_out validate validation/validation validation/validation.tsv
lay_out test eval/public eval/public.tsv
printf '%s\n' "${classes[@]}" >"${downloads}/metadata/labels.txt.part"
mv "${downloads}/metadata/labels.txt.part" "${downloads}/metadata/labels.txt"
