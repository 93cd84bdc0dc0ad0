"""Fixtures that campaigns share."""

from faulty_server import serve

__all__ = ["serve"]
