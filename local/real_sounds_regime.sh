#!/usr/bin/env bash
# Choose the regimes (clip pooling, frozen epochs, learning rates) of real_sounds' protocols A and B (docs/beyond.md),
# from results on a split of the training sources.
#
# usage: local/real_sounds_regime.sh <results> <regime.json>
#
# <results>/runs.jsonl has a line for each training on the split (egs/real_sounds/tune.sh). <regime.json> gets the chosen
# regimes and the scores of all that were tried. Prints a line for each system and protocol: its config, and an experiment
# on the split with its regime, separated by a tab.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder
root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cmd="" # for step.sh; nothing here is run as a job
source "${root}/utils/parse_options.sh"
(($# == 2)) || usage
source "${root}/utils/step.sh"

python3 -m local.real_sounds.regime "$1" "$2"
