#!/usr/bin/env bash
# A detector of your own sounds: a folder of recordings, with label files beside them or a table of what is in them.
#
# usage: egs/own_data/run.sh --recordings DIR --small       # from random weights, minutes on two CPU cores
#        egs/own_data/run.sh --recordings DIR --from MODEL  # fine-tunes a packed model
#
#   --recordings DIR   folder of your recordings
#   --events FILE      TSV: filename, onset, offset, event_label; or labels of another tool (Audacity, CSV, Raven,
#                      TextGrid, ELAN, Label Studio): a file, or a folder of files named as the recordings (DIR,
#                      unless --tags is given)
#   --small BOOL       a small model from random weights on the CPU; neither a GPU nor pretrained weights (false)
#   --tags FILE        TSV: filename, event_labels (comma-separated); instead of --events (then add --stop-stage 4), or for
#                      recordings without a row in --events
#   --validation X     fraction of the recordings in --events that is kept to score on, 0 to 0.9 (0.2)
#   --group REGEX      recordings whose names have the same match stay on one side of the split (none)
#   --max-bad X        stop if more than X % of the recordings cannot be read, are silent or shorter than 0.1 s, or more than
#                      X % of a set's clips are silent; fewer are left out (20)
#   --max-dropped X    stop if more than X % of the events do not fit their recordings, as local/own_data.sh says (10)
#   --from MODEL       fine-tune this packed model (sed.bin.pack), with its own config and front end
#   --keep-labels BOOL with --from: also keep the labels of that model, as for events corrected on predict's page;
#                      false: only the labels of the tables (false)
#   --train-args ARGS  more options of sed.bin.train; --most-passes 0 removes the limit of 200 passes over your labelled
#                      clips
#   --score-args ARGS  more options of sed.bin.score; --no-players: no sounds in report.html
#   --stage N          first stage (0); --stage 3 trains AST-GRU too, as --systems "ast_gru ast_sed" does
#   --stop-stage N     last stage (5)
#   --work DIR         folder of downloads, data, dump, exp and RESULTS.md (the recipe's folder)
#   --ngpu N           GPUs; 0: the CPU (1, with --small 0)
#
# and every option of egs/desed/run.sh; here --systems is ast_sed by default. Before stage 5 each model chooses, on the
# long recordings among those kept to score on, how predict cuts recordings into windows (steps/tune_windows.sh).
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export SED_COMMAND="egs/own_data/run.sh${*:+ $(printf '%q ' "$@")}" # stated in results
export SED_COMMAND=${SED_COMMAND% }
# shellcheck disable=SC2034 # recordings, events and tags are read by name
recordings="" events="" tags="" train_args="" score_args="" validation=0.2 group="" from="" keep_labels=false small=false stage=0 stop_stage=5 work=${here} ngpu="" max_bad=20.0 max_dropped=10.0
options_pass=${here}/../desed/run.sh
source "${here}/../../utils/parse_options.sh"

[[ ${ngpu} =~ ^[0-9]{0,9}$ ]] || die "--ngpu is a whole number, not '${ngpu}'" # with "" as default it takes any text
((stage <= stop_stage && stage <= 5)) || die "no stage between --stage ${stage} and --stop-stage ${stop_stage} (there are 0 to 5)"
work=$(realpath -m "${work}")
download="local/own_data.sh --validation $(quoted "${validation}") --max-bad $(quoted "${max_bad}")"
download+=" --max-dropped $(quoted "${max_dropped}")"
for file in recordings events tags; do
    [[ -z ${!file} ]] || download+=" --${file} $(quoted "$(realpath -m "${!file}")")"
done
[[ -z ${group} ]] || download+=" --group $(quoted "${group}")"
if [[ ${keep_labels} == true ]]; then
    [[ ${from} ]] || die "--keep-labels: of which model? (give --from)"
    download+=" --from $(quoted "$(realpath -m "${from}")")"
fi
# The report may hold the sounds: they are the user's recordings.
ours=(--score-args "--players${score_args:+ ${score_args}}")
ours+=(--work "${work}" --systems ast_sed --download "${download}")
ours+=(--prepare "local/prepare.sh --max-bad $(quoted "${max_bad}")") # of clips, which may be silent
if [[ ${small} == true ]]; then
    [[ -z ${from} ]] || die "--small and --from name different models (give one of them)"
    ngpu=${ngpu:-0}
    ours+=(--pretrained none --feature-conf conf/mini/logmel.yaml --conf conf/mini/ast_sed.yaml --gru-conf conf/mini/ast_gru.yaml)
    train_args="--epochs 20 --lr 2e-3 --encoder-lr 1e-3 --batch-sizes 8,8,8,8${train_args:+ ${train_args}}"
fi
# Few clips need fewer steps than the configs have: the limit of 200 passes over the labelled clips, 8 a step, allows all of
# --small's 1,080 steps (20 epochs of 54) from 44 of them on. There may be no tagged or unlabelled clips, so missing sets
# are left out.
ours+=(--train-args "--missing-sets leave_out --most-passes 200${train_args:+ ${train_args}}")
((stage != 3)) || ours+=(--systems "ast_gru ast_sed") # stage 3 is AST-GRU's alone: who starts there wants it
if [[ -n ${from} ]]; then
    model=$(realpath -m "${from}")
    [[ -f ${model}/model.json ]] || die "${model}: no packed model (sed.bin.pack makes one)"
    ours+=(--conf "${model}/config.yaml" --feature-conf "${model}/logmel.yaml" --pretrained "${model}" --tag finetuned)
fi
ngpu=${ngpu:-1}
export RUN_OWNER=${RUN_OWNER:-$$} # all jobs end with this process
recipe() { "${options_pass}" "${ours[@]}" --ngpu "${ngpu}" ${passed[@]+"${passed[@]}"} "$@"; }
((stage > 4)) || recipe "$@" --stage "${stage}" --stop-stage "$((stop_stage < 4 ? stop_stage : 4))"
((stop_stage > 4)) || exit 0
[[ -e ${work}/data/validation || " ${passed[*]-} " == *' --test-sets '* ]] ||
    die "${work}/data: no validation set to score on, so stage 5 is left out (--stop-stage 4 says so; the models are in ${work}/exp)"
if [[ -f ${work}/data/validation/events.tsv ]]; then (
    cd "${here}/../desed"
    # shellcheck source=egs/desed/path.sh
    source ./path.sh
    # shellcheck source=egs/desed/cmd.sh
    source ./cmd.sh
    for model in "${work}"/exp/*/final.pt; do
        [[ -e ${model} ]] || continue
        steps/tune_windows.sh --cmd "${cuda_cmd}" --ngpu "$((10#${ngpu} > 0))" "${work}/data/validation" "${model%/*}" || {
            code=$? # a model of an earlier call may lack labels that these recordings have: it keeps its windows
            ((code == 2)) && [[ ${model} -ot ${work}/data/validation/events.tsv ]] || exit "${code}"
        }
    done
); fi
recipe "$@" --stage 5
