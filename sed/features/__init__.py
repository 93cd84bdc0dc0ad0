"""Log-mel front end, shared by training, scoring and prediction."""
