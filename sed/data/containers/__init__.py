"""Containers of audio: what their headers say, checked against what the file holds."""
