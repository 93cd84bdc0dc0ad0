#!/usr/bin/env bash
# Check a data directory; report the first fault with its file, its line and what to do.
#
# usage: utils/validate_data_dir.sh [options] <data/set>
#
#   --labels FILE   the allowed labels, one per line (labels.txt in the folder above)
#   --no-wav BOOL   do not check that the audio files exist (false)
#
# Has the name of Kaldi's script, and runs `python3 -m sed.bin.check_data_dir`.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder
labels="" no_wav=false
root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "${root}/utils/parse_options.sh"
(($# == 1)) || usage
options=()
[[ -z ${labels} ]] || options+=(--labels "${labels}")
[[ ${no_wav} == false ]] || options+=(--no-wav)
export PYTHONPATH=${root}${PYTHONPATH:+:${PYTHONPATH}}
exec python3 -m sed.bin.check_data_dir ${options[@]+"${options[@]}"} -- "$1"
