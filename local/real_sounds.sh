#!/usr/bin/env bash
# Stage 0 of real_sounds: synthesise a corpus in DESED's layout from a soundbank of recordings.
#
# usage: local/real_sounds.sh --soundbank DIR [options] <downloads>
#
#   --soundbank DIR        recordings, {train,validation}/{foreground,background,distractor}/<label>/: the folders of foreground are
#                          the labels to detect; below background and distractor any name will do (docs/beyond.md)
#   --scale X              factor by which the sizes of all sets but --public are multiplied; 1: 1,500 real-strong, 10,000
#                          synthetic, 1,500 weak, 12,000 unlabelled, 1,168 validation clips (1.0)
#   --public N             clips of a test set besides validation, also of the soundbank's validation/; not multiplied by
#                          --scale (0)
#   --seed N               random seed (0)
#   --nj N                 processes (4)
#   --results DIR          folder for the results; results on another soundbank in it are refused now, not after the training
#   --format F             format of the audio, wav or flac, 16 bits (wav)
#
# Writes <downloads>/{audio,metadata} and <downloads>/sources.json, the numbers of sources (original recordings, of which a
# soundbank may have several files) and files of each label in train/ and validation/. Finished parts are kept. Training
# clips have sounds of the soundbank's train/ only, validation and test clips of its validation/ only. Encoders are
# pre-trained on the soundbank itself (run.sh), so no set for that is made (--pretrain 0).

[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder

root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
soundbank='' scale=1.0 public=0 seed=0 nj=4 results='' format=wav
# shellcheck source=utils/parse_options.sh
source "${root}/utils/parse_options.sh"
(($# == 1)) || usage
downloads=$1
export PYTHONPATH=${root}${PYTHONPATH:+:${PYTHONPATH}}
[[ -d ${soundbank} ]] || die "--soundbank '${soundbank}': no such folder (a folder of recordings is needed)"
[[ ${scale} =~ ^[0-9]*\.?[0-9]+$ && ${scale} == *[1-9]* ]] || die "--scale ${scale}: a number above 0 is expected"

sized() { # sized <clips>: print this number times --scale, at least 1
    awk -v n="$1" -v x="${scale}" 'BEGIN { n = int(n * x + 0.5); print n < 1 ? 1 : n }'
}
python3 -m sed.bin.synthesize --soundbank "${soundbank}" --seed "${seed}" --nj "${nj}" --format "${format}" \
    --strong-real "$(sized 1500)" --synthetic "$(sized 10000)" --weak "$(sized 1500)" --unlabelled "$(sized 12000)" \
    --validation "$(sized 1168)" --public "${public}" --pretrain 0 "${downloads}"
python3 -m sed.bin.split_soundbank --count "${downloads}/sources.json" "${soundbank}"
[[ -z ${results} ]] || python3 -m local.real_sounds.soundbank "${downloads}/sources.json" "${results}"
