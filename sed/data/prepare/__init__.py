"""Preparation of recordings and annotations: data directories and clips."""
