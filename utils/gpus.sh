#!/usr/bin/env bash
# `list_gpus` sets the array `gpus` to the GPUs in CUDA_VISIBLE_DEVICES (none if that is empty), or to all of this machine if
# it is not set. Source it.

# shellcheck disable=SC2034
list_gpus() {
    local listed
    gpus=()
    if [[ -n ${CUDA_VISIBLE_DEVICES+set} ]]; then
        IFS=, read -ra gpus <<<"${CUDA_VISIBLE_DEVICES}"
    elif listed=$(nvidia-smi --query-gpu=index --format=csv,noheader 2>/dev/null); then
        # nvidia-smi prints errors on standard output, too: only numbers count
        mapfile -t gpus < <(grep -E '^[0-9]+$' <<<"${listed}")
    fi
}
