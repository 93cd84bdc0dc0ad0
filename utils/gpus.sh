#!/usr/bin/env bash
# `list_gpus` fills the array `gpus`: what CUDA_VISIBLE_DEVICES names, none when it is empty, else all of this machine.

# shellcheck disable=SC2034
list_gpus() {
    local listed
    gpus=()
    if [[ -n ${CUDA_VISIBLE_DEVICES+set} ]]; then
        IFS=, read -ra gpus <<<"${CUDA_VISIBLE_DEVICES}"
    elif listed=$(nvidia-smi --query-gpu=index --format=csv,noheader 2>/dev/null); then # it also prints errors on standard output
        mapfile -t gpus < <(grep -E '^[0-9]+$' <<<"${listed}")
    fi
}
