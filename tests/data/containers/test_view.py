import io

import numpy as np

from sed.data.containers.view import View


def test_a_view_reads_as_the_concatenation_of_its_parts():
    data = bytes(range(256)) * 4
    view = View(io.BytesIO(data), [b"head", (10, 300), b"", (300, 300), (700, 710), b"tail"])
    whole = b"head" + data[10:300] + data[700:710] + b"tail"
    assert view.size == len(whole) and view.read() == whole
    rng = np.random.default_rng(0)
    for at, count in rng.integers(0, len(whole) + 5, (200, 2)):
        assert view.seek(int(at)) == at and view.read(int(count)) == whole[at : at + count]
    assert view.seek(-4, 2) == len(whole) - 4 and view.read(9) == b"tail" and view.tell() == len(whole)
    view.seek(2)
    assert view.seek(3, 1) == 5
    assert view.seek(-99, 1) == 0
