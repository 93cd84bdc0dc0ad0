"""Tables over several seeds of the same configs, and of trials with a single training each."""
