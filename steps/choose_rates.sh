#!/usr/bin/env bash
# Choose each config's learning rates from results with several rates on a split of the training sources
# (steps/split_soundbank.sh).
#
# usage: steps/choose_rates.sh [options] <results> <rates.json>
#
#   --best CONFIG   print the name of this config's best experiment, without its seed, and the table of rates on standard
#                   error (default: only the table, on standard output)
#
# <results>/runs.jsonl, which stage 5 of egs/real_sounds/run.sh writes, has one line per training; those of configs
# named <config>_lr<head>_<encoder> are compared. <rates.json> gets, for each config, the rates whose PSDS1 has the highest
# mean over seeds.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder
root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cmd="" best="" # cmd: for step.sh, which expects the variable
source "${root}/utils/parse_options.sh"
(($# == 2)) || usage
source "${root}/utils/step.sh"

python3 -m sed.bin.choose_rates --best "${best}" "$1" "$2"
