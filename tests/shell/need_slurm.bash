need_slurm() { # skip the test if no Slurm was started; else wait until it answers, since a test may have just drained its node
    [[ -n ${SLURM_CONF-} ]] || skip "no Slurm was started (tests/run.sh does where slurm-wlm and munge are installed)"
    bash "${BATS_TEST_DIRNAME}/slurm_node.sh" wait
}
