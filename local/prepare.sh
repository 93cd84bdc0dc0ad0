#!/usr/bin/env bash
# Stage 1: make data directories of those of DESED's seven sets that are in <downloads>.
#
# usage: local/prepare.sh [options] <downloads> <data>
#
#   --nj N              threads of the audio check (2)
#   --max-bad X         refuse a set if more than X % of its audio files cannot be read, are silent, shorter than 0.1 s or longer
#                       than 60 s, or have another length than their clip; fewer are listed in bad_audio.tsv and left out (5)
#   --max-dropped X     refuse a set if more than X % of its events have no length, begin beyond their clip's end, or end
#                       more than 0.5 s beyond it (10)
#   --min-coverage X    refuse a test set (validation, public_eval) with audio of less than X % of its clips (0)
#
# X may have decimals. <downloads>/{audio,metadata} are in DESED's layout; metadata/labels.txt, if it exists, has the
# labels of another corpus in that layout. Writes <data>/labels.txt, <data>/<set>/ and <data>/coverage.tsv. If stage 0 recorded where
# each recording comes from, coverage.tsv has a column `from`, and <data>/origins.tsv the origin of each clip. Stage 0
# may have written, beside a set's table x.tsv, x.soft.tsv (soft labels) and x.recordings/ (labels of the recordings of
# which the clips are overlapping windows); they become <data>/<set>/soft.tsv and recordings/.

[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder

root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
nj=2 max_bad=5.0 max_dropped=10.0 min_coverage=0.0 # the percentages are chosen by hand
# shellcheck source=utils/parse_options.sh
source "${root}/utils/parse_options.sh"
(($# == 2)) || usage
downloads=$1 data=$2
export PYTHONPATH=${root}${PYTHONPATH:+:${PYTHONPATH}}
[[ -d ${downloads}/metadata ]] || die "${downloads}/metadata: no such folder (run stage 0 first)"

# set | annotation | table in metadata/ | folder in audio/ | `test` for a test set, else -
sets='
strong_real  | strong     | train/audioset_strong.tsv                       | train/strong_label_real                       | -
strong_synth | strong     | train/synthetic21_train/soundscapes.tsv         | train/synthetic21_train/soundscapes           | -
weak         | weak       | train/weak.tsv                                  | train/weak                                    | -
unlabelled   | unlabelled | train/unlabel_in_domain.tsv                     | train/unlabel_in_domain                       | -
synth_valid  | strong     | validation/synthetic21_validation/soundscapes.tsv | validation/synthetic21_validation/soundscapes | -
validation   | strong     | validation/validation.tsv                       | validation/validation                         | test
public_eval  | strong     | eval/public.tsv                                 | eval/public                                   | test
'

labels() { # print the labels: the corpus's own, else DESED's ten
    if [[ -e ${downloads}/metadata/labels.txt ]]; then
        cat "${downloads}/metadata/labels.txt"
    else
        printf '%s\n' Alarm_bell_ringing Blender Cat Dishes Dog Electric_shaver_toothbrush Frying Running_water \
            Speech Vacuum_cleaner
    fi
}

name_validation() { # name_validation <validation.tsv>: say which version of DESED's table it is (egs/desed/README.md)
    local rows
    rows=$(grep -c . "$1" || true) # of an empty table, which make_data_dir refuses, grep fails
    rows=$((rows > 0 ? rows - 1 : 0))
    if [[ $(sha256sum <"$1") == aa137f17507407ff08fd245ba63c2af4383c0a8fff9e5a89938df7de0c363871* ]]; then
        echo "$1: the current one, 4239 rows (by its checksum)"
    elif ((rows == 4239)); then
        echo "$1: 4239 rows as the current one has, but not its checksum"
    elif ((rows == 4251)); then
        echo "$1: the old one, by its 4251 rows (its checksum is not known): its overlapping events of one class are merged"
    elif [[ ! -e ${downloads}/metadata/labels.txt ]]; then
        echo "$1: neither of the two that circulate (4239 and 4251 rows): ${rows} rows, used as it is"
    fi
}

{ mkdir -p "${data}" && labels >"${data}/.labels.txt.part"; } || die "${data}: cannot be written (see above)"
mv "${data}/.labels.txt.part" "${data}/labels.txt"

absent() { # absent <set> <annotation> <tsv>: add a set that has no audio (.: not read) to coverage.tsv, with 0 of its clips
    python3 -m sed.bin.make_data_dir --absent --labels "${data}/labels.txt" --kind "$2" \
        ${origins[@]+"${origins[@]}"} "$3" . "${scratch}/$1.tsv"
    covered+=("${scratch}/$1.tsv")
}

origins=()
[[ ! -e ${downloads}/origins.tsv ]] || origins=(--origins "${downloads}/origins.tsv")
scratch=$(mktemp -d)
trap 'rm -rf "${scratch}"' EXIT
made=() covered=() left_out=()
while IFS='|' read -r set kind tsv audio test; do
    read -r set kind tsv audio test <<<"${set} ${kind} ${tsv} ${audio} ${test}" # once more: without blanks around fields
    [[ -n ${set} ]] || continue
    options=(--labels "${data}/labels.txt" --kind "${kind}" --nj "${nj}" --max-bad "${max_bad}" --max-dropped "${max_dropped}"
        ${origins[@]+"${origins[@]}"})
    [[ ${test} == - ]] || options+=(--min-coverage "${min_coverage}")
    lacks=
    if [[ ! -e ${downloads}/metadata/${tsv} ]]; then
        lacks="no metadata/${tsv}"
    elif [[ ! -d ${downloads}/audio/${audio} || -z $(find -L "${downloads}/audio/${audio}" -type f -print -quit) ]]; then
        lacks="no audio in audio/${audio}"
    fi
    if [[ -n ${lacks} ]]; then
        [[ ${test} == - || ${min_coverage} =~ ^0*(\.0*)?$ || ${lacks} == "no metadata"* ]] ||
            die "${set}: there is ${lacks} in ${downloads} (download it, or lower --min-coverage)"
        # another corpus need not have all sets of DESED's layout
        [[ ${lacks} == "no metadata"* && -e ${downloads}/metadata/labels.txt ]] || left_out+=("${set} (${lacks})")
        # remove the set of an earlier run; only a data directory that we made has this file
        [[ ! -e ${data}/${set}/.audio_check.tsv ]] || rm -rf "${data:?}/${set}"
        [[ ${lacks} == "no metadata"* ]] || absent "${set}" "${kind}" "${downloads}/metadata/${tsv}"
        continue
    fi
    if [[ ${set} == validation ]]; then
        name_validation "${downloads}/metadata/${tsv}"
        # only this set has such a table; elsewhere, the times in a clip's name, if any, give its length
        durations=${downloads}/metadata/validation/validation_durations.tsv
        [[ ! -e ${durations} ]] || options+=(--durations "${durations}")
    fi
    beside=${downloads}/metadata/${tsv%.tsv}
    [[ ! -e ${beside}.soft.tsv ]] || options+=(--soft "${beside}.soft.tsv")
    python3 -m sed.bin.make_data_dir "${options[@]}" \
        "${downloads}/metadata/${tsv}" "${downloads}/audio/${audio}" "${data}/${set}"
    rm -rf "${data:?}/${set}"/{,.}recordings
    if [[ -d ${beside}.recordings ]]; then
        cp -R "${beside}.recordings" "${data}/${set}/.recordings"
        mv "${data}/${set}/.recordings" "${data}/${set}/recordings"
    fi
    made+=("${set}")
    covered+=("${data}/${set}/coverage.tsv")
    read -r _ _ clips expected _ <<<"$(sed -n 2p "${data}/${set}/coverage.tsv")" # the row of all classes
    if [[ ${test} == test ]] && ((clips < expected)); then
        echo "*** ${set} is incomplete: ${clips} of ${expected} clips. Do not compare its scores with published ones. ***"
    fi
done <<<"${sets}"
((${#left_out[@]} == 0)) || echo "left out, since not in ${downloads}: $(printf '%s\n' "${left_out[@]}" | paste -sd ' ')"
((${#made[@]})) || die "${downloads}: none of DESED's sets is there (audio/ and metadata/, as stage 0 writes them, are expected)"

{
    head -n 1 "${covered[0]}"
    for file in "${covered[@]}"; do tail -n +2 "${file}"; done
} >"${data}/.coverage.tsv.part"
mv "${data}/.coverage.tsv.part" "${data}/coverage.tsv"
if ((${#origins[@]})); then
    {
        printf 'set\tclip\torigin\n'
        for set in "${made[@]}"; do [[ ! -e ${data}/${set}/origins.tsv ]] || tail -n +2 "${data}/${set}/origins.tsv"; done
    } >"${data}/.origins.tsv.part"
    mv "${data}/.origins.tsv.part" "${data}/origins.tsv"
else
    rm -f -- "${data}/origins.tsv" # of an earlier run, whose downloads had origins
fi
