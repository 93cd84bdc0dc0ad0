#!/usr/bin/env bash
# NVIDIA's MPS (Multi-Process Service), by which several processes compute on one GPU concurrently, while a script runs.
# The script sources this file.
#
# `mps_start <folder> <processes per GPU> <GPU>...` starts MPS's daemon for these GPUs, with its files in that folder,
# and exports the variables by which processes use it. It sets the array `mps_gpus` to each GPU's value for
# CUDA_VISIBLE_DEVICES. If MPS is not installed or does not work, processes still share a GPU, but it switches between
# them instead of computing for several at once. If CUDA_MPS_PIPE_DIRECTORY is set already, the daemon that it names is
# used, and `mps_gpus` are the GPUs as given: numbers are right only if that daemon serves all GPUs of the machine in their
# order. `mps_stop` ends only a daemon that mps_start started. The variables stay: without a daemon, CUDA works as without MPS.

mps_started="" mps_gpus=() mps_watch="" # mps_watch: id of the process that ends the daemon after the script
# mps_probe: Python code that fails if CUDA cannot be used through the daemon. It makes a context, since some failures of the
# daemon show only then. It may wait forever for the daemon, so it is run with a time limit. Of several errors any one will
# do for the message.
mps_probe='import ctypes
cuda, device, context = ctypes.CDLL("libcuda.so.1"), ctypes.c_int(), ctypes.c_void_p()
steps = cuda.cuInit(0), cuda.cuDeviceGet(ctypes.byref(device), 0), cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device)
raise SystemExit(any(steps) and f"CUDA error {max(steps)}")'

mps_start() { # mps_start <folder> <processes per GPU> <GPU>...
    local uuids
    mps_gpus=("${@:3}")
    if [[ -z ${CUDA_MPS_PIPE_DIRECTORY-} ]]; then
        command -v nvidia-cuda-mps-control >/dev/null || return 0
        mkdir -p "$1"
        export CUDA_MPS_PIPE_DIRECTORY=$1 CUDA_MPS_LOG_DIRECTORY=$1
        # UUIDs, since with MPS numbers count the daemon's GPUs, not the machine's.
        uuids=$(for gpu in "${mps_gpus[@]}"; do
            nvidia-smi --query-gpu=uuid --format=csv,noheader --id="${gpu}"
        done | paste -sd ,) || true
        CUDA_VISIBLE_DEVICES=${uuids} nvidia-cuda-mps-control -d >"$1/start.log" 2>&1 && mps_started=yes
        if [[ -z ${mps_started} ]] ||
            ! CUDA_VISIBLE_DEVICES=${uuids} timeout 60 python3 -c "${mps_probe}" >>"$1/start.log" 2>&1; then
            printf '%s: MPS does not work here, processes take turns on their GPU: %s\n' "$(basename "$0")" \
                "$(tail -n 1 "$1/start.log")" >&2
            mps_stop
            unset CUDA_MPS_PIPE_DIRECTORY CUDA_MPS_LOG_DIRECTORY
            return 0
        fi
        IFS=, read -ra mps_gpus <<<"${uuids}"
        # stops the daemon even if the script is killed by SIGKILL; ignores signals that reach the whole process group
        (trap '' INT TERM HUP && while kill -0 $$; do sleep 1; done && mps_stop) >/dev/null 2>&1 &
        mps_watch=$!
        disown "${mps_watch}" # otherwise bash prints "Killed" when mps_stop ends it
    fi
    # Number of processes that compute on a GPU at once: sed/gpu/persistent_gru.py uses its kernel only if the blocks of
    # all processes' kernels fit on the GPU together. Not set without MPS, since processes then take turns, each with the
    # whole GPU.
    export SED_GPU_SHARERS=$2
}

mps_stop() {
    [[ -n ${mps_started} ]] || return 0
    mps_started=""
    [[ -z ${mps_watch} ]] || kill -9 "${mps_watch}" 2>/dev/null || true # it ignores TERM
    # -t 10: processes that still compute have 10 s to end
    timeout 30 nvidia-cuda-mps-control <<<"quit -t 10" >/dev/null 2>&1 || true
}
