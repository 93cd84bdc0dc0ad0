"""Pre-training of an encoder as a tagger."""
