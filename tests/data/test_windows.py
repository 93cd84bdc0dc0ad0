"""Tables of windows of recordings."""

import pytest

from sed.data.windows import read_windows
from sed.errors import UserError


def write(folder, *rows: str) -> None:
    (folder / "windows.tsv").write_text("\n".join(["filename\trecording\tonset", *rows]) + "\n")
    (folder / "durations.tsv").write_text("filename\tduration\nr.wav\t12\n")


def test_windows_are_read_with_the_durations_of_their_recordings(tmp_path):
    write(tmp_path, "r_0.000_10.000\tr\t0", "r_5.000_12.000\tr\t5")
    assert read_windows(tmp_path) == ({"r_0.000_10.000": ("r", 0.0), "r_5.000_12.000": ("r", 5.0)}, {"r": 12.0})


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["a\tr\t0", "a\tr\t5"], "windows.tsv:3: window 'a' comes twice"),
        (["a\tr\t12"], "windows.tsv:2: 12 s is not within recording 'r'"),
        (["a\ts\t0"], "windows.tsv:2: recording 's' is not in .*durations.tsv"),
        (["a\tr\tsoon"], "windows.tsv:2: onset 'soon' is not a number"),
    ],
)
def test_a_broken_row_names_its_line(tmp_path, rows, words):
    write(tmp_path, *rows)
    with pytest.raises(UserError, match=words):
        read_windows(tmp_path)
