#!/usr/bin/env bash
# `list_gpus` sets the array `gpus` to the GPUs in CUDA_VISIBLE_DEVICES (none if that is empty, -1 or Slurm's NoDevFiles),
# or to all of this machine if it is not set. Source it.

# shellcheck disable=SC2034
list_gpus() {
    local listed gpu
    gpus=()
    if [[ -n ${CUDA_VISIBLE_DEVICES+set} ]]; then
        for gpu in ${CUDA_VISIBLE_DEVICES//,/ }; do # CUDA, too, ignores all from the first that does not exist
            [[ ${gpu} != -1 && ${gpu} != NoDevFiles ]] || break
            gpus+=("${gpu}")
        done
    elif listed=$(nvidia-smi --query-gpu=index --format=csv,noheader 2>/dev/null); then
        # nvidia-smi prints errors on standard output, too: only numbers count
        mapfile -t gpus < <(grep -E '^[0-9]+$' <<<"${listed}")
    fi
}
