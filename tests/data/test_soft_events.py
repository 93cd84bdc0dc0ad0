"""Tables of soft labels."""

import pytest

from sed.data.soft_events import SoftEvent, parts_within, read_soft_tsv, write_soft_tsv
from sed.errors import UserError


def test_a_table_is_written_in_order_and_read_again(tmp_path):
    brief = SoftEvent(0, 0.0004, "x", 0.5)  # has no length in the table's milliseconds, so it is left out
    events = {"b": [SoftEvent(1, 2, "x", 0.25), SoftEvent(0, 1, "x", 1)], "a": [brief]}
    write_soft_tsv(tmp_path / "soft.tsv", events)
    assert (tmp_path / "soft.tsv").read_text().splitlines() == [
        "filename\tonset\toffset\tevent_label\tshare",
        "b.wav\t0.000\t1.000\tx\t1",
        "b.wav\t1.000\t2.000\tx\t0.25",
    ]
    assert read_soft_tsv(tmp_path / "soft.tsv") == {"b": sorted(events["b"])}


def test_events_without_length_are_left_out_when_they_are_read(tmp_path):
    rows = "filename\tonset\toffset\tevent_label\tshare\na.wav\t1\t1\tx\t1\n"
    (tmp_path / "soft.tsv").write_text(rows)
    assert read_soft_tsv(tmp_path / "soft.tsv") == {"a": []}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("a.wav\t0\t1\tx\t1.5", "share 1.5 is not above 0"),
        ("a.wav\t0\t1\tx\t0", "share 0 is not above 0"),
        ("a.wav\t0\t1\tx\thalf", r"share 'half' is not a number \(above 0 and at most 1\)"),
        ("a.wav\t2\t1\tx\t1", "onset 2 is not before offset 1"),
        ("a.wav\t\t\t\t1", "broken row of a.wav"),
    ],
)
def test_a_broken_row_names_its_line(tmp_path, row, words):
    (tmp_path / "soft.tsv").write_text(f"filename\tonset\toffset\tevent_label\tshare\n{row}\n")
    with pytest.raises(UserError, match=f"soft.tsv:2: .*{words}"):
        read_soft_tsv(tmp_path / "soft.tsv")


def test_parts_in_a_window_have_times_relative_to_its_start():
    events = [SoftEvent(8, 12, "x", 0.5), SoftEvent(12, 12.005, "x", 1), SoftEvent(21, 22, "y", 1)]
    assert parts_within(events, 10, 20) == [
        SoftEvent(0, 2, "x", 0.5),
        SoftEvent(2, pytest.approx(2.005), "x", 1),  # type: ignore[arg-type]
    ]
