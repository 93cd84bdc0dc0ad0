"""Loggers of a run, registered in `sed.training.logger`."""
