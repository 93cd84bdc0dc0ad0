#!/usr/bin/env bash
# Make a soundbank for tuning from a soundbank's train/ alone, so that its validation/ stays unseen. Recordings of one
# source (column `source` of ATTRIBUTION.tsv, else `author`) stay together.
#
# usage: steps/split_soundbank.sh [options] <soundbank> <out>
#
#   --share P   fraction of each label's recordings for the new validation part, which gets whole sources until it has that
#               share, 0.01 to 0.99 (0.25)
#   --seed N    random seed of the split (0)
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder
root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cmd="" share=0.25 seed=0 # cmd: for step.sh, which expects the variable
source "${root}/utils/parse_options.sh"
(($# == 2)) || usage
source "${root}/utils/step.sh"

options="--share ${share} --seed ${seed}"
files() { # print the paths and sizes of the soundbank's training recordings and of the table of their sources, if any
    (cd "$1" && find -L train ATTRIBUTION.tsv -type f -exec stat -L -c '%n %s' {} +) 2>/dev/null || true
}
of=$(files "$1" | LC_ALL=C sort | cksum)
asked="${options} of $(realpath -m -- "$1") (checksum ${of% *})"
if [[ -e $2/.done ]]; then
    # in splits of earlier versions it is empty, or lacks the soundbank
    [[ ! -s $2/.done ]] || same "$2/.done" "${asked}" || same "$2/.done" "${options}" ||
        die "$2: was split with $(<"$2/.done"), not ${asked} (give the same or another folder, or remove $2)"
    finished "$2: already done"
fi
rm -f "$2/.done.part" # of a run that was killed; the command replaces nothing but its own files
python3 -m sed.bin.split_soundbank --share "${share}" --seed "${seed}" "$1" "$2"
remember "$2/.done" "${asked}"
