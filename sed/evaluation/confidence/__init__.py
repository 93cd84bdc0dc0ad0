"""Confidence intervals: bootstrap over clips and paired differences between experiments."""
