#!/usr/bin/env bash
# Commands that run the recipe's jobs: SED_BACKEND=local (this machine) or slurm (its sbatch options: conf/slurm.conf, or
# the file whose absolute path is in SED_SLURM_CONF). Sourced in egs/desed, where utils is a link, after
# utils/parse_options.sh, which defines `quoted`.

case ${SED_BACKEND:-local} in
    local) backend=utils/run.sh ;;
    slurm)
        backend="utils/slurm.sh${SED_SLURM_CONF:+ --conf $(quoted "${SED_SLURM_CONF}")}"
        if ! command -v sbatch >/dev/null; then
            printf 'cmd.sh: SED_BACKEND=slurm: no sbatch on PATH (is this a machine of the cluster?)\n' >&2
            exit 2
        fi
        ;;
    *)
        printf 'cmd.sh: SED_BACKEND=%s is no backend (local or slurm)\n' "${SED_BACKEND}" >&2
        exit 2
        ;;
esac
export train_cmd=${backend} # jobs on CPUs
export cuda_cmd=${backend}  # jobs that may ask for GPUs
