"""Kernels for GPUs, and inference of a detector by them."""
