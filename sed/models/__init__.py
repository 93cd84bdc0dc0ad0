"""Models in pure torch: no files, no argument parsing, no logging."""
