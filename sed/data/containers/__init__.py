"""Audio containers: lengths that headers state are compared with the content; formats that libsndfile does not read."""
