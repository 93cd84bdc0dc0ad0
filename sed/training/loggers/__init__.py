"""Where a run's numbers and events can go; `sed.training.logger` lists the loggers by name."""
