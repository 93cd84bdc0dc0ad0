need_slurm() { # the cluster of tests/run.sh answers, or will soon: a node that was drained a moment ago takes a second
    [[ -n ${SLURM_CONF-} ]] || skip "no Slurm was started (tests/run.sh does where slurm-wlm and munge are installed)"
    bash "${BATS_TEST_DIRNAME}/slurm_node.sh" wait
}
