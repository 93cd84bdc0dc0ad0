#!/usr/bin/env bash
# Print the experiments of a recipe's configs as a tab-separated list, which a stage works through.
#
# usage: steps/experiments.sh [options] <features|pretrain|train|import|label|score|cross_fit> [<config>...]
#
#   --dump DIR           folder of the dumped sets (dump)
#   --exp DIR            folder of the experiments (exp)
#   --conf-dirs LIST     folders in which configs given by name are looked for, in this order; those with blanks in quotes (conf)
#   --seeds LIST         seeds with which every config is trained (the seed in the config)
#   --rates LIST         learning rates, HEAD:ENCODER each (those in the config)
#   --vary LIST          KEY=VALUE,VALUE...: train every combination of these values of config keys
#   --feature-conf FILE  the recipe's own front end, whose dump is --dump itself (conf/logmel.yaml)
#   --pretrained FILE    checkpoint that a config without init_from starts from, 'none': random weights (see --downloads)
#   --downloads DIR      folder of published encoders, <encoder>.safetensors or .pth, which configs start from without --pretrained
#   --checkpoints DIR    folder of pre-trained encoders, which configs with pretrained_by start from (without it, they do not)
#   --folder NAME        score: folder in the experiment for the scores (the set's name)
#   --score-args ARGS    score and cross_fit: options of sed.bin.score, one string
#
# A config is a file, a name, or NAME=file. The list `features` is for steps/dump_sets.sh, `train` and `score` for
# steps/sweep.sh and steps/each.sh, `pretrain` and `label` for steps/sweep.sh, `import` and `cross_fit` for steps/each.sh.
# What each list has, and from which keys of a config: the top of sed/bin/experiments.py.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder
root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cmd="" dump=dump exp=exp conf_dirs="" seeds="" rates="" vary="" # cmd: for step.sh, which expects the variable
feature_conf=${root}/conf/logmel.yaml pretrained="" downloads="" checkpoints="" folder="" score_args=""
source "${root}/utils/parse_options.sh"
(($# >= 1)) || usage
conf_dirs=${conf_dirs:-$(quoted "${root}/conf")}
source "${root}/utils/step.sh"

python3 -m sed.bin.experiments --dump "${dump}" --exp "${exp}" --conf-dirs "${conf_dirs}" --seeds "${seeds}" --rates "${rates}" --vary "${vary}" \
    --feature-conf "${feature_conf}" --pretrained "${pretrained}" --downloads "${downloads}" --checkpoints "${checkpoints}" \
    --folder "${folder}" --score-args="${score_args}" "$@"
