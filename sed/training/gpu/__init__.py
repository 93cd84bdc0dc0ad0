"""Accelerated training steps: compiled encoders, CUDA graphs, the GRU's implementation and the classifier."""
