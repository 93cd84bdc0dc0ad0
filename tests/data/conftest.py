"""Fixtures of several tests of sed.data."""

from faulty_server import serve  # noqa: F401
