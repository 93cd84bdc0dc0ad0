"""Losses, mean teacher, augmentation, schedule, checkpoints and the trainer."""
