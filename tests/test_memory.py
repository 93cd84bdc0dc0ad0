"""A memory limit holds within its block, and only there."""

from __future__ import annotations

import resource

import numpy as np
import pytest

from sed.memory import limited


def test_what_goes_beyond_the_limit_fails_inside_and_only_there() -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with limited(256 << 20):
        assert len(np.ones(64 << 20, np.uint8)) == 64 << 20
        with pytest.raises(MemoryError):
            np.ones(512 << 20, np.uint8)
        with limited(1 << 40), pytest.raises(MemoryError):  # a lower limit stays
            np.ones(512 << 20, np.uint8)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    assert len(np.ones(512 << 20, np.uint8)) == 512 << 20
