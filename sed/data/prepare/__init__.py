"""From recordings and annotations to data directories and clips."""
