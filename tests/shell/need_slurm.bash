need_slurm() { # skip the test unless the cluster of tests/run.sh answers; a node that was just drained takes a second
    [[ -n ${SLURM_CONF-} ]] || skip "no Slurm was started (tests/run.sh does where slurm-wlm and munge are installed)"
    bash "${BATS_TEST_DIRNAME}/slurm_node.sh" wait
}
