#!/usr/bin/env bats
# The small recipe, reduced to a few clips and steps, on a real Slurm, compared with the same on this machine; and its
# messages if there is no cluster.

root=$(cd "${BATS_TEST_DIRNAME}/../.." && pwd)
load need_slurm

setup() {
    cd "${BATS_TEST_TMPDIR}" || return 1
    export OMP_NUM_THREADS=1 SLURM_POLL=1
}

recipe() { # recipe <backend> [option...]
    SED_BACKEND=$1 "${root}/egs/mini_desed/run.sh" --work "${PWD}/work" --train-args "--epochs 1 --steps-per-epoch 4" \
        --download "local/mini_desed.sh --strong-real 16 --synthetic 16 --weak 8 --unlabelled 8 --validation 8 --pretrain 40 --pretrain-conf ${PWD}/pretrain.yaml" \
        "${@:2}" >"$1.said" 2>&1 3>&- || {
        tail -n 20 "$1.said"
        return 1
    }
}

# bats test_tags=slow
@test "the small recipe on Slurm writes the same files as on this machine, and does nothing the second time" {
    need_slurm
    PYTHONPATH=${root} python3 -m sed.bin.pretrain --config "${root}/conf/mini/pretrain.yaml" \
        --steps-per-epoch 1 --show-config >pretrain.yaml
    recipe local
    mkdir local
    mv work/{dump,exp,RESULTS.md} local
    recipe slurm --infer-nj 2
    cd work
    for file in dump/*/feats.{*.h5,scp} exp/*/final.pt exp/*/validation/events.tsv; do cmp "${file}" "../local/${file}"; done
    for model in ast_gru ast_sed; do
        grep -q ', Slurm job ' "exp/${model}/log/train.log"
        PYTHONPATH=${root} python3 - "exp/${model}/validation" <<'EOF'
import json, sys
import numpy as np
from sed.data.scores import read_scores
folders = [f"{top}{sys.argv[1]}" for top in ("", "../local/")]
a, b = (read_scores(f"{folder}/scores.h5") for folder in folders)
assert a.clips == b.clips and np.array_equal(a.frame, b.frame) and np.array_equal(a.clip, b.clip)
ours, local = (json.load(open(f"{folder}/result.json")) for folder in folders)
differing = {key for key in {*ours, *local} if ours.get(key) != local.get(key)}
assert len(ours) > 20 and differing <= {"command", "seconds", "model", "input"}, differing
EOF
    done
    cd ..
    recipe slurm --infer-nj 2
    # five sets are dumped; two systems are trained, inferred and scored
    [[ $(grep -c 'already done' slurm.said) -ge 11 && -z $(squeue -h) ]]
    echo 'command sbatch --partition=nowhere' >nowhere.conf
    ! SED_SLURM_CONF=${PWD}/nowhere.conf recipe slurm --stage 3 --stop-stage 3 --force true || false
    [[ $(tail -n 1 slurm.said) == 'slurm.sh: sbatch refused: '*'invalid partition specified: nowhere'* && -z $(squeue -h) ]]
}

@test "an unknown backend or a missing sbatch: one line, exit status 2" {
    SED_BACKEND=cloud run "${root}/egs/mini_desed/run.sh" --work "${PWD}/none"
    [[ ${status} == 2 && ${output} == 'cmd.sh: SED_BACKEND=cloud is no backend (local or slurm)' ]]
    mkdir bin
    ln -s /usr/bin/* bin
    rm -f bin/sbatch
    python=$(dirname "$(command -v python3)")
    [[ ! -e ${python}/sbatch ]] || skip "python3 and sbatch are in one folder"
    PATH=${python}:${PWD}/bin SED_BACKEND=slurm run "${root}/egs/mini_desed/run.sh" --work "${PWD}/none"
    [[ ${status} == 2 && ${#lines[@]} == 1 && ${output} == 'cmd.sh: SED_BACKEND=slurm: no sbatch on PATH'* ]]
}
