"""Model files: training checkpoints, packed models, and published checkpoints as initial weights."""
