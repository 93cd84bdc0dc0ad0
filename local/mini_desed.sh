#!/usr/bin/env bash
# Stage 0 of mini_desed: synthesise a small corpus in DESED's layout, and train on isolated sounds the tiny AST tagger
# that stands in for the AudioSet checkpoint.
#
# usage: local/mini_desed.sh [options] <downloads>
#
#   --soundbank DIR       recordings to mix: {train,validation}/foreground/<label>/ of the labels to detect and, if any,
#                         {background,distractor}/<any name>/ beside foreground/ (procedural sounds)
#   --seed N              random seed (0)
#   --nj N                processes (2)
#   --strong-real N       clips of the real-strong set (240)
#   --synthetic N         clips of the synthetic-strong set (240)
#   --weak N              clips of the weak set (120)
#   --unlabelled N        clips of the unlabelled set (120)
#   --validation N        clips of the validation set (120)
#   --pretrain N          clips of isolated sounds (1000)
#   --pretrain-seconds S  length of a clip of isolated sounds in seconds (2.5)
#   --format F            format of the audio, wav or flac, 16 bits (wav)
#   --feature-conf FILE   front end of the tagger (conf/mini/logmel.yaml)
#   --pretrain-conf FILE  model and training of the tagger (conf/mini/pretrain.yaml)
#   --force BOOL          make everything again (false)
#
# Writes <downloads>/{audio,metadata,pretrain} and <downloads>/ast.pth. Finished parts are kept, those of other options refused.

[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder

root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
soundbank='' seed=0 nj=2 strong_real=240 synthetic=240 weak=120 unlabelled=120 validation=120
pretrain=1000 pretrain_seconds=2.5 format=wav force=false
feature_conf=${root}/conf/mini/logmel.yaml pretrain_conf=${root}/conf/mini/pretrain.yaml
# shellcheck source=utils/parse_options.sh
source "${root}/utils/parse_options.sh"
(($# == 1)) || usage
downloads=$1
export PYTHONPATH=${root}${PYTHONPATH:+:${PYTHONPATH}}

again=()
[[ ${force} == false ]] || again=(--force)

python3 -m sed.bin.synthesize --soundbank "${soundbank}" --seed "${seed}" --nj "${nj}" --format "${format}" \
    --strong-real "${strong_real}" --synthetic "${synthetic}" --weak "${weak}" --unlabelled "${unlabelled}" \
    --validation "${validation}" --pretrain "${pretrain}" --pretrain-seconds "${pretrain_seconds}" \
    ${again[@]+"${again[@]}"} "${downloads}"

isolated=${downloads}/pretrain
# If a --force was killed once synthesize had removed the earlier corpus with its features, the earlier corpus's tagger,
# and ast.run with the checkpoints of its pre-training, are still there, and would count as finished.
[[ -e ${isolated}/feats.scp ]] || rm -rf "${downloads}"/ast.{pth,run}
python3 -m sed.bin.dump_features --config "${feature_conf}" --clip-seconds "${pretrain_seconds}" \
    --threads "${nj}" "${isolated}/wav.scp" "${isolated}/feats.1.h5" # does nothing if they are there, of the same front end
# feats.scp marks the features as complete, as in steps/dump_features.sh, whose jobs write feats.<n>.scp
cp "${isolated}/feats.1.scp" "${isolated}/.feats.scp.part"
mv "${isolated}/.feats.scp.part" "${isolated}/feats.scp"
# always on the CPU, so that it does not depend on a machine's GPU; an ast.pth of another config is refused
python3 -m sed.bin.pretrain --device cpu --config "${pretrain_conf}" ${again[@]+"${again[@]}"} "${isolated}" "${downloads}/ast.pth"
