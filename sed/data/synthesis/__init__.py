"""Soundscape synthesis: sound banks, mixing, and the synthetic corpus."""
