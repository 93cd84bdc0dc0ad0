"""Command-line entry points: parse, call, log."""
