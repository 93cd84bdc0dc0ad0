#!/usr/bin/env bash
# A real Slurm on loopback, for tests, by Debian's slurm-wlm and munge. Partition `main` is node `one`, `urgent` the same node
# for jobs that preempt those of `main`, `pair` the nodes `one` and `two`. Each node has two made-up GPUs.
#
# usage: tests/shell/slurm_node.sh start|stop|check|wait
#
# Everything is below ${SLURM_NODE:-/tmp/slurm-node-<user>}, and runs as the user who calls this. To use it, export SLURM_CONF as
# its slurm.conf there. `check` exits with 0 if partition main answers; `wait` waits for it, for a minute at most. A Slurm that was built for
# one slurmd per machine has no `pair`.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # `sh script`, where sh is another shell
set -euo pipefail
unset CDPATH # if it is set, cd prints the folder
source "$(dirname "${BASH_SOURCE[0]}")/../../utils/parse_options.sh"
(($# == 1)) || usage
dir=${SLURM_NODE:-/tmp/slurm-node-$(id -un)}
export SLURM_CONF=${dir}/slurm.conf
PATH=${PATH}:/usr/sbin:/sbin

start() {
    local tool user host ports node
    for tool in slurmctld slurmd sbatch munged; do
        command -v "${tool}" >/dev/null || die "no ${tool} (apt-get install slurm-wlm munge)"
    done
    mkdir -p "${dir}"/{state,munge,spool/{one,two}}
    chmod 700 "${dir}" "${dir}/munge"
    user=$(id -un) host=$(hostname -s)
    mapfile -t ports < <(python3 -c '
import socket
sockets = [socket.socket() for _ in range(3)]
for s in sockets: s.bind(("127.0.0.1", 0))
for s in sockets: print(s.getsockname()[1])')
    rm -f "${dir}/munge/key" # that of a cluster that died is read-only
    head -c 1024 /dev/urandom >"${dir}/munge/key"
    chmod 400 "${dir}/munge/key"
    cat >"${SLURM_CONF}" <<END
ClusterName=loopback
SlurmctldHost=${host}(127.0.0.1)
SlurmctldPort=${ports[0]}
SlurmUser=${user}
SlurmdUser=${user}
AuthType=auth/munge
AuthInfo=socket=${dir}/munge/socket,cred_expire=5
CredType=cred/munge
StateSaveLocation=${dir}/state
SlurmdSpoolDir=${dir}/spool/%n
SlurmctldPidFile=${dir}/slurmctld.pid
SlurmdPidFile=${dir}/slurmd.%n.pid
SlurmctldLogFile=${dir}/slurmctld.log
SlurmdLogFile=${dir}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
GresTypes=gpu
SlurmdParameters=config_overrides
ReturnToService=2
JobRequeue=1
KillWait=5
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
MinJobAge=60
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=1
MailProg=/bin/true
NodeName=DEFAULT CPUs=8 RealMemory=4000 Gres=gpu:2 State=UNKNOWN
NodeName=one NodeHostname=${host} NodeAddr=127.0.0.1 Port=${ports[1]}
NodeName=two NodeHostname=${host} NodeAddr=127.0.0.1 Port=${ports[2]}
PartitionName=main Nodes=one Default=YES MaxTime=60 GraceTime=10 State=UP
PartitionName=urgent Nodes=one PriorityTier=2 MaxTime=60 State=UP
PartitionName=pair Nodes=one,two MaxTime=60 State=UP
END
    printf 'Name=gpu File=/dev/%s Flags=nvidia_gpu_env\n' null zero >"${dir}/gres.conf"
    munged --force --key-file="${dir}/munge/key" --socket="${dir}/munge/socket" --pid-file="${dir}/munge/pid" \
        --log-file="${dir}/munge/log" --seed-file="${dir}/munge/seed"
    slurmctld -f "${SLURM_CONF}" -c
    for node in one two; do slurmd -f "${SLURM_CONF}" -N "${node}" -c; done
    answers
}

answers() { # wait until partition main answers, for a minute at most
    local end=$((SECONDS + 60))
    while ((SECONDS < end)); do
        ! check || return 0
        sleep 0.5
    done
    tail -n 5 "${dir}"/slurm*.log >&2
    die "the node does not come up (see ${dir})"
}

check() {
    [[ -e ${SLURM_CONF} ]] && [[ $(timeout 10 sinfo -h -p main -o %t 2>/dev/null) =~ ^(idle|mix|alloc)$ ]]
}

stop() {
    local pid
    ! check || scancel -u "$(id -un)" || true
    for pid in "${dir}"/slurm*.pid "${dir}/munge/pid"; do
        [[ ! -s ${pid} ]] || kill "$(<"${pid}")" 2>/dev/null || true
    done
    sleep 1
    rm -rf "${dir}"
}

case $1 in
    start) check || start ;;
    stop) stop ;;
    check) check ;;
    wait) answers ;;
    *) usage ;;
esac
