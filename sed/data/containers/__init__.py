"""Audio containers: headers checked against the content of the file."""
