"""Model files: training checkpoints, packed models, and the published checkpoints that training starts from."""
