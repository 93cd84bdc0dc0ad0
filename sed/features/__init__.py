"""The one log-mel front end that training, scoring and prediction share."""
