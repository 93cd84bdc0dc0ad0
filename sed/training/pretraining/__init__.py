"""Pre-training of an AST as a tagger."""
