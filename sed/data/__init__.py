"""Data directories, labels, audio files, the HDF5 store, batches and soundscape synthesis."""
