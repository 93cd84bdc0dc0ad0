"""Tables over several seeds of the same configs."""
