"""Fixtures that tests of entry points share."""

from faulty_server import serve

__all__ = ["serve"]
