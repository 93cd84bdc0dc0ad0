"""CUDA graphs of training steps, and the choice of the GRU's implementation."""
