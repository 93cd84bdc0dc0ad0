"""Inference, post-processing, metrics, confidence intervals and reports."""
