"""Training: losses, mean teacher, augmentation, schedule, loop, loggers and the trainer."""
