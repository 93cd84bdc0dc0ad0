"""Inference, post-processing, metrics and reports."""
