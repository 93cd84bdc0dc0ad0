"""Log-mel front end, shared by dumps of features, training, inference and prediction."""
