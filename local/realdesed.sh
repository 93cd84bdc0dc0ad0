#!/usr/bin/env bash
# Stage 0 of realdesed: download RealDESED (15 classes, 5710 recordings) and lay it out as DESED is, in clips of 10 s.
#
# usage: local/realdesed.sh [options] <downloads>
#
#   --archives DIR       files that you downloaded by hand: train.zip, validation.zip, test.zip
#   --mirror URL         server that replaces Zenodo and Hugging Face, with their paths below its own
#   --ast FILE           AudioSet AST checkpoint to link instead of downloading one
#   --nj N               downloads at once, and recordings that are cut at once (3)
#
# Its splits become DESED's sets: train -> strong_real, validation -> validation, test -> public_eval. A split has
# audio/, metadata.csv (filename, ...) and annotations.csv (filename,onset,offset,class). The training split's may be
# annotations_raw.csv only, with annotator_id and review_status too: then accepted rows stand, and elsewhere the
# events that at least half of a recording's annotators marked. Another layout is refused, naming what is missing.

[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # with it, cd prints where it went

root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
archives='' mirror='' ast='' nj=3
# shellcheck source=utils/parse_options.sh
source "${root}/utils/parse_options.sh"
(($# == 1)) || usage
downloads=$1
export PYTHONPATH=${root}${PYTHONPATH:+:${PYTHONPATH}}

options=(--corpus realdesed --parts "train,validation,test,ast" --nj "${nj}")
[[ -z ${archives} ]] || options+=(--archives "${archives}")
[[ -z ${mirror} ]] || options+=(--mirror "${mirror}")
[[ -z ${ast} ]] || options+=(--ast "${ast}")
"${root}/local/download.sh" "${options[@]}" "${downloads}"

lay_out() { # lay_out <split> <audio/...> <metadata/...>
    python3 -m sed.bin.cut_recordings --nj "${nj}" \
        --annotations annotations.csv,annotations_raw.csv --label-column class \
        --annotator-column annotator_id --status-column review_status \
        "${downloads}/$1" "${downloads}/audio/$2" "${downloads}/metadata/$3"
}
lay_out train train/strong_label_real train/audioset_strong.tsv
lay_out validation validation/validation validation/validation.tsv
lay_out test eval/public eval/public.tsv

labels=${downloads}/metadata/labels.txt
awk -F '\t' 'FNR > 1 && $4 != "" { print $4 }' \
    "${downloads}"/metadata/{train/audioset_strong,validation/validation,eval/public}.tsv | LC_ALL=C sort -u >"${labels}.part"
mv "${labels}.part" "${labels}"
classes=$(wc -l <"${labels}")
((classes == 15)) || echo "$(basename "$0"): ${classes} classes in the annotations, RealDESED has 15: ${labels}" >&2
