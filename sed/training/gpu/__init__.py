"""CUDA graphs and the persistent recurrent kernel."""
