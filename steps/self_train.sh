#!/usr/bin/env bash
# Self-training: an ensemble labels the clips without events, and the next ensemble is trained with these labels; repeated.
#
# usage: steps/self_train.sh [options] <conf/first.yaml> <conf/next.yaml> <dump> <exp/x>
#
#   --cmd CMD           script that runs the jobs: utils/run.sh here, utils/slurm.sh on a cluster (utils/run.sh)
#   --ngpu N            GPUs of each training; inference uses one; 0: the CPU (1)
#   --seeds LIST        seeds of the ensemble's members, one training each ("1 2 3")
#   --iterations N      number of times that an ensemble labels and a next one is trained (2)
#   --label-sets LIST   sets of the dump that get labels ("weak unlabelled")
#   --tune-set SET      strong set on which post-processing is tuned, and the mean delay of detected onsets and offsets
#                       measured, which is subtracted in the labels; never a test set (synth_valid)
#   --tune-args ARGS    options of sed.bin.tune ("--post-processing weak_mask,median --what median,threshold")
#   --pretrained FILE   checkpoint that each training starts from, 'none': random weights (the config's, if it names one)
#   --train-args ARGS   more options of sed.bin.train, one string
#   --force BOOL        redo what is finished (false)
#
# The first config is trained without pseudo-labels (exp/x_it1_seed1 ...), the next one (exp/x_it2_seed1 ...) with them: as
# events, if `pseudo` is among its train_sets, which stands for the latest labels; as posteriors, if its pseudo_weight is
# not 0. The configs may be of any system, and differ, as in self-training of a Bi-CRNN by an FB-CRNN. The posteriors of
# iteration i, averaged over its seeds, and tuned.json are in exp/x_it<i>, its events in <dump>/pseudo_x_it<i>. Finished
# work is skipped, killed work is resumed; members trained with other labels than there are now are refused.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder
root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cmd=${root}/utils/run.sh ngpu=1 seeds="1 2 3" iterations=2 label_sets="weak unlabelled" tune_set=synth_valid
tune_args="--post-processing weak_mask,median --what median,threshold" pretrained="" train_args="" force=false
source "${root}/utils/parse_options.sh"
(($# == 4)) || usage
first=$1 next=$2 dump=${3%/} exp=${4%/}
asked_cmd=${cmd}
source "${root}/utils/step.sh"

case ${tune_set} in
    validation | public_eval | test) die "--tune-set ${tune_set}: a test set: what is tuned on it would void its result" ;;
esac
((iterations > 0)) || die "--iterations is at least 1"
[[ -f ${dump}/${tune_set}/events.tsv ]] || die "${dump}/${tune_set}/events.tsv: no such file (--tune-set is a strong set)"
read -ra members <<<"${seeds}"
read -ra sets <<<"${label_sets}"
((${#members[@]} > 0 && ${#sets[@]} > 0)) || die "--seeds and --label-sets need at least one name"
for set in "${sets[@]}"; do
    [[ ${set} != "${tune_set}" ]] || die "--tune-set ${tune_set} is one of --label-sets (tune on another set)"
    [[ -f ${dump}/${set}/feats.scp ]] || die "${dump}/${set}/feats.scp: no such file (--label-sets are sets of the dump)"
done
name=$(basename "${exp}")
split_words "${tune_args}" # sets `words`; here, so that an unmatched quote is found before any training

train() { # train <iteration> <config>: train all members
    # labels: file that describes what the labels were made from (`remember`), of which each member keeps a copy
    local options=${train_args} seed trained_on labels="" member
    if (($1 > 1)); then
        labels=${dump}/pseudo_${name}_it$(($1 - 1))/feats.scp.of
        trained_on=$(python3 -m sed.bin.show_config "$2" --keys train_sets |
            sed "s/^train_sets: *//; s/\\bpseudo\\b/pseudo_${name}_it$(($1 - 1))/")
        [[ -z ${trained_on} ]] || options+=" --train-sets $(quoted "${trained_on}")" # without this key the config trains on the default sets
        [[ $(python3 -m sed.bin.show_config "$2" --keys pseudo_weight) =~ ^(pseudo_weight:\ 0(\.0)?)?$ ]] ||
            options+=" --pseudo-labels $(quoted "${exp}_it$(($1 - 1))")"
    fi
    for seed in "${members[@]}"; do
        member=${exp}_it$1_seed${seed}
        if [[ ${labels} ]]; then
            [[ ${force} == true || ! -f ${member}/.labels ]] || cmp -s "${labels}" "${member}/.labels" || ! begun "${member}" ||
                die "${member}: was trained with other pseudo-labels, of another ensemble, other --tune-args or another file named in them (remove it to train it again, or give another <exp/x>)"
            mkdir -p "${member}"
            copy "${labels}" "${member}/.labels"
        fi
        "${root}/steps/train.sh" --cmd "${asked_cmd}" --ngpu "${ngpu}" --force "${force}" --pretrained "${pretrained}" \
            --train-args "${options} --seed ${seed}" "$2" "${dump}" "${member}"
    done
}
begun() { # begun <member>: has it learned anything that a further training would start from?
    [[ -e $1/.done || -e $1/final.pt ]] || compgen -G "$1/checkpoints/*.pt" >/dev/null
}
average() { # average <iteration> <set>: infer with all members and average their posteriors
    local out=${exp}_it$1/$2/scores.h5 scores=() seed
    for seed in "${members[@]}"; do
        scores+=("${exp}_it$1_seed${seed}/$2/scores.h5")
        "${root}/steps/infer.sh" --cmd "${asked_cmd}" --ngpu "${ngpu}" --force "${force}" \
            "${dump}/$2" "${exp}_it$1_seed${seed}" "${exp}_it$1_seed${seed}/$2"
    done
    made "${out}" "${scores[@]}" || {
        mkdir -p "$(dirname "${out}")"
        python3 -m sed.bin.average_scores "${scores[@]}" "${out}"
        remember "${out}.of" "$(state_of "${scores[@]}")"
    }
}
made() { # made <file> <source>...: does the file exist, made from the sources in their current state?
    [[ ${force} == false && -f $1 ]] && same "$1.of" "$(state_of "${@:2}")"
}
labelled() { # labelled: are the labels in `out` those of `tuned`, `scores` and `tags`?
    made "${out}/feats.scp" "${tuned}" "${scores[@]}" ${tags[@]+"${tags[@]}"} || {
        # An earlier version did not store the state of tags: its labels are kept if they are newer than the tags.
        ((${#tags[@]})) && made "${out}/feats.scp" "${tuned}" "${scores[@]}" &&
            [[ -z $(find -L "${tags[@]}" -newer "${out}/feats.scp") ]]
    }
}

# all: folder of the ensemble's averaged posteriors
for ((iteration = 1; iteration <= iterations + 1; iteration++)); do
    if ((iteration == 1)); then train 1 "${first}"; else train "${iteration}" "${next}"; fi
    ((iteration <= iterations)) || break
    all=${exp}_it${iteration} tuned=${exp}_it${iteration}/tuned.json out=${dump}/pseudo_${name}_it${iteration} scores=() tags=()
    average "${iteration}" "${tune_set}"
    tuned_from=$(state_of "${all}/${tune_set}/scores.h5" "${dump}/${tune_set}/events.tsv" && printf '%s\n' "${tune_args}" && state_of_words)
    if [[ ${force} == true || ! -f ${tuned} ]] || ! same "${tuned}.of" "${tuned_from}"; then
        python3 -m sed.bin.tune "${all}/${tune_set}/scores.h5" --ground-truth "${dump}/${tune_set}/events.tsv" \
            --durations "${dump}/${tune_set}/durations.tsv" --bias --out "${tuned}" "${words[@]}"
        remember "${tuned}.of" "${tuned_from}"
    fi
    for set in "${sets[@]}"; do
        average "${iteration}" "${set}"
        scores+=("${all}/${set}/scores.h5")
        [[ ! -f ${dump}/${set}/tags.tsv ]] || tags+=("${dump}/${set}/tags.tsv")
    done
    labelled || {
        python3 -m sed.bin.pseudo_label --tuned "${tuned}" --keep-tags --scores "${scores[@]}" -- "${sets[@]/#/${dump}/}" "${out}"
        remember "${out}/feats.scp.of" "$(state_of "${tuned}" "${scores[@]}" ${tags[@]+"${tags[@]}"})"
    }
done
say "${exp}_it$((iterations + 1))_seed*: trained with the labels of ${dump}/pseudo_${name}_it${iterations}"
