#!/usr/bin/env bash
# Where the recipe's commands run: SED_BACKEND=local (this machine) or slurm (options: conf/slurm.conf).

case ${SED_BACKEND:-local} in
    local) backend=utils/run.sh ;;
    slurm) backend=utils/slurm.sh ;;
    *)
        printf 'cmd.sh: SED_BACKEND=%s is no backend (local or slurm)\n' "${SED_BACKEND}" >&2
        exit 2
        ;;
esac
[[ -x ${backend} ]] || {
    printf 'cmd.sh: SED_BACKEND=%s: there is no %s yet (SED_BACKEND=local runs on this machine)\n' \
        "${SED_BACKEND}" "${backend}" >&2
    exit 2
}
export train_cmd=${backend} # jobs on CPUs
export cuda_cmd=${backend}  # jobs that may ask for GPUs
