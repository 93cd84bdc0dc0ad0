"""Tables and labels, audio files, features, targets and batches, scores; preparation, download, synthesis of sets."""
