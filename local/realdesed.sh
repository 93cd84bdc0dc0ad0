#!/usr/bin/env bash
# Stage 0 of realdesed: download RealDESED (15 classes, 5710 recordings) and lay it out like DESED, in clips of 10 s.
#
# usage: local/realdesed.sh [options] <downloads>
#
#   --archives DIR       files that you downloaded by hand: train.zip, validation.zip, test.zip
#   --mirror URL         server to use instead of all hosts (Zenodo, Hugging Face, ...); paths on a host are appended to URL
#   --ast FILE           AudioSet AST checkpoint to link instead of downloading one
#   --nj N               downloads at once, and recordings that are cut at once (3)
#   --aggregation NAME   rule by which several annotators' events become training labels. Hard labels: majority,
#                        intersection, union, collector (who made the recording), random; soft labels: uniform (equal
#                        weights), weighted (by each annotator's agreement with the others) (majority)
#   --alpha X            power of the agreement in `weighted` (16)
#   --reviewed BOOL      in training recordings with rows that a review accepted, only these count; false: only rows
#                        without a review count (true)
#   --hop X              seconds between the starts of two clips of validation and test. Less than 10: clips overlap, and
#                        recordings are scored instead of clips; 0: 10 s (0)
#   --select BOOL        validation becomes synth_valid too, so that a training can select its best epoch on it; a published
#                        detector that is imported (steps/import_model.sh) is then tuned on it, too (false)
#   --only-annotated BOOL  leave out recordings of validation and test without a row in the annotations; false: they count
#                        as recordings without events (false)
#
# Its splits become DESED's sets: train -> strong_real, validation -> validation, test -> public_eval. A split has
# audio/, metadata.csv (filename, ...) and annotations.csv (filename,onset,offset,class); of the training split,
# annotations_raw.csv is read, with the columns annotator_id, annotator_is_creator and review_status too. Another layout
# is refused, naming what is missing. If options have changed since the last call, tables are made again, clips are kept.

[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder

root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
archives='' mirror='' ast='' nj=3 aggregation=majority alpha=16.0 reviewed=true hop=0.0
only_annotated=false select=false
# shellcheck source=utils/parse_options.sh
source "${root}/utils/parse_options.sh"
(($# == 1)) || usage
downloads=$1
aggregations=" majority intersection union collector random uniform weighted "
[[ ${aggregations} == *" ${aggregation} "* ]] || die "--aggregation ${aggregation} is none of${aggregations% } (see --help)"
export PYTHONPATH=${root}${PYTHONPATH:+:${PYTHONPATH}}

options=(--corpus realdesed --parts "train,validation,test,ast" --nj "${nj}")
[[ -z ${archives} ]] || options+=(--archives "${archives}")
[[ -z ${mirror} ]] || options+=(--mirror "${mirror}")
[[ -z ${ast} ]] || options+=(--ast "${ast}")
"${root}/local/download.sh" "${options[@]}" "${downloads}"

flag() { # flag <name> <true|false>: print the option --<name> or --no-<name>
    if [[ $2 == true ]]; then printf -- '--%s' "$1"; else printf -- '--no-%s' "$1"; fi
}
lay_out() { # lay_out <split> <folder in audio/> <table in metadata/> [<option>...]: clips and their table
    python3 -m sed.bin.cut_recordings --nj "${nj}" --label-column class "${@:4}" \
        --annotations annotations.csv,annotations_raw.csv \
        --annotator-column annotator_id --status-column review_status --collector-column annotator_is_creator \
        "${downloads}/$1" "${downloads}/audio/$2" "${downloads}/metadata/$3"
}
lay_out train train/strong_label_real train/audioset_strong.tsv --prefer-raw \
    --aggregation "${aggregation}" --alpha "${alpha}" "$(flag reviewed "${reviewed}")"
tested=(--hop "${hop}" "$(flag only-annotated "${only_annotated}")")
lay_out validation validation/validation validation/validation.tsv "${tested[@]}"
synth_valid=validation/synthetic21_validation/soundscapes
if [[ ${select} == true ]]; then
    lay_out validation "${synth_valid}" "${synth_valid}.tsv" "$(flag only-annotated "${only_annotated}")"
else # of an earlier call with --select true: steps/import_model.sh would tune on validation, which is scored
    rm -f "${downloads}/metadata/${synth_valid}.tsv"
fi
lay_out test eval/public eval/public.tsv "${tested[@]}"

labels=${downloads}/metadata/labels.txt
tables=("${downloads}"/metadata/{train/audioset_strong,validation/validation,eval/public}.tsv)
[[ ! -e ${tables[0]%.tsv}.soft.tsv ]] || tables+=("${tables[0]%.tsv}.soft.tsv")
# awk would take a name such as a=b/validation.tsv for an assignment
tail -q -n +2 "${tables[@]}" | awk -F '\t' '$4 != "" { print $4 }' | LC_ALL=C sort -u >"${labels}.part"
mv "${labels}.part" "${labels}"
classes=$(wc -l <"${labels}")
((classes == 15)) || echo "$(basename "$0"): ${classes} classes in the annotations, RealDESED has 15: ${labels}" >&2
