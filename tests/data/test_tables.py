"""Reading of tables: what each set of rules accepts, drops or refuses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sed.data.tables import (
    DATA_DIR,
    LONGEST,
    METADATA,
    Event,
    Rules,
    audio_stem,
    clip_id,
    event_rows,
    number,
    read_durations_tsv,
    read_events_tsv,
    read_tags_tsv,
    tag_rows,
    write_durations_tsv,
    write_events_tsv,
    write_tags_tsv,
)
from sed.errors import UserError

HEAD = "filename\tonset\toffset\tevent_label\n"


def test_clip_id_drops_the_last_suffix_only() -> None:
    assert clip_id("Y00pbt6aJV8Y_350.000_360.000.wav") == "Y00pbt6aJV8Y_350.000_360.000"
    assert clip_id("audio/train/12.flac") == "12"
    assert clip_id("plain") == "plain"
    assert clip_id(".hidden") == ".hidden"


def test_audio_stem_drops_suffixes_of_audio_only() -> None:
    for name in ("a/Yx_350.000_360.000.wav", "Yx_350.000_360.000.FLAC", "Yx_350.000_360.000"):
        assert audio_stem(name) == "Yx_350.000_360.000"


def test_rows_without_an_event_name_a_clip(tmp_path: Path) -> None:
    (tmp_path / "v.tsv").write_text(
        "filename\tonset\toffset\tevent_label\r\nx.wav\t\t\t\r\ny.wav\t0\t1\tDog\r\nz.wav\n"
    )
    assert read_events_tsv(tmp_path / "v.tsv") == {"x": [], "y": [Event(0.0, 1.0, "Dog")], "z": []}


@pytest.mark.parametrize(
    ("row", "accepted"),
    [
        ("a.b\t0\t1\tDog\n", {DATA_DIR: "a", METADATA: "a.b"}),
        ("a\t0\t1\tDog\r\n", {METADATA: "a"}),
        ("a\t0\t 1\tDog\n", {METADATA: "a"}),
        ("a\tnan\tnan\tnan\n", {METADATA: None}),
        ("a\t2\t1\tDog\n", {}),
        ("a\t-1\t1\tDog\n", {}),
        ("a\t0\tinf\tDog\n", {}),
        ("a\t0\t1\t\n", {}),
        ("\t0\t1\tDog\n", {}),
        ("a\t0\t1\tDog\tmore\n", {}),
    ],
)
@pytest.mark.parametrize("rules", [DATA_DIR, METADATA], ids=["data_dir", "metadata"])
def test_the_two_sets_of_rules_differ_as_the_module_says(
    tmp_path: Path, rules: Rules, row: str, accepted: dict[Rules, str | None]
) -> None:
    path = tmp_path / "events.tsv"
    path.write_bytes((HEAD + row).encode())
    if rules not in accepted:
        with pytest.raises(UserError, match=re.escape(f"{path}:2: ")):
            list(event_rows(path, rules))
    elif accepted[rules] is None:
        assert list(event_rows(path, rules)) == [(2, "a", None)]
    else:
        assert list(event_rows(path, rules)) == [(2, accepted[rules], Event(0.0, 1.0, "Dog"))]


def test_a_clip_may_have_two_rows_of_one_duration_except_in_a_data_directory(tmp_path: Path) -> None:
    path = tmp_path / "durations.tsv"
    path.write_text("filename\tduration\na.wav\t1\na.wav\t1.0\n")
    assert read_durations_tsv(path) == read_durations_tsv(path, METADATA) == {"a": 1.0}
    with pytest.raises(UserError, match=r"durations\.tsv:3: clip 'a' comes twice"):
        read_durations_tsv(path, DATA_DIR)
    path.write_text("filename\tduration\na.wav\t1\na.wav\t2\n")
    with pytest.raises(UserError, match=r"durations\.tsv:3: a\.wav has two durations, 1 and 2 s"):
        read_durations_tsv(path, METADATA)


@settings(deadline=None)
@given(st.text(alphabet="0123456789+-.eE_ nifa\u0661", max_size=8))
def test_only_a_plain_decimal_number_is_a_number(text: str) -> None:
    plain = all(character in "0123456789+-.eE" for character in text)
    try:
        value = float(text) if plain else None
    except ValueError:
        value = None
    if value is None or value in (float("inf"), float("-inf")):
        with pytest.raises(UserError, match="x:1: onset '"):
            number("x:1", "onset", text)
    else:
        assert number("x:1", "onset", text) == value


LABELS = st.sampled_from(["Dog", "Alarm bell", "\u00e9"])
TIMES = st.integers(0, 9999)


@pytest.mark.thorough
@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["a", "b.c", "Z"]), st.lists(st.tuples(TIMES, TIMES, LABELS), max_size=4)))
def test_events_read_back_as_written(tmp_path_factory: pytest.TempPathFactory, raw: dict) -> None:
    events = {
        clip: sorted(Event(min(a, b) / 1000, (max(a, b) + 1) / 1000, label) for a, b, label in found)
        for clip, found in raw.items()
        if found
    }
    path = tmp_path_factory.mktemp("t") / "events.tsv"
    write_events_tsv(path, events)
    assert read_events_tsv(path) == events
    rows = list(event_rows(path, DATA_DIR))
    assert rows == list(event_rows(path, METADATA)) and len(rows) == sum(map(len, events.values()))


def test_tags_count_once_and_read_back(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("filename\tevent_labels\na.wav\tDog,Dog\n")
    assert read_tags_tsv(tmp_path / "t.tsv") == {"a": ("Dog",)}
    write_tags_tsv(tmp_path / "t.tsv", {"b": (), "a": ("Dog", "Cat")})
    assert read_tags_tsv(tmp_path / "t.tsv") == {"a": ("Dog", "Cat"), "b": ()}


def test_a_clip_with_a_row_per_tag_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("filename\tevent_labels\na.wav\tDog,Cat\na.wav\tCat,Dog\n")
    assert read_tags_tsv(tmp_path / "t.tsv") == {"a": ("Dog", "Cat")}
    (tmp_path / "t.tsv").write_text("filename\tevent_labels\na.wav\tDog\nb.wav\tDog\na.wav\tCat\n")
    with pytest.raises(UserError, match=r"t\.tsv:4: clip 'a' comes twice"):
        read_tags_tsv(tmp_path / "t.tsv")


def test_a_header_may_have_blanks_and_its_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("filename \t event_labels \na.wav\tDog\n")
    assert read_tags_tsv(tmp_path / "t.tsv") == {"a": ("Dog",)}
    with pytest.raises(UserError, match=r"t\.tsv:1: no column 'filename'"):
        list(tag_rows(tmp_path / "t.tsv", DATA_DIR))
    (tmp_path / "t.tsv").write_text("\n\nfilename\ttags\na.wav\tDog\n")
    with pytest.raises(UserError, match=r"t\.tsv:3: no column 'event_labels'"):
        read_tags_tsv(tmp_path / "t.tsv")


def test_a_folder_in_place_of_a_table_is_named_as_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a folder \(a table is expected\)"):
        read_tags_tsv(tmp_path)  # once "no such file"
    with pytest.raises(UserError, match="no such file"):
        read_tags_tsv(tmp_path / "none.tsv")


def test_a_file_with_a_line_of_a_million_characters_is_not_a_table(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("filename\tevent_labels\n" + "a" * LONGEST)
    with pytest.raises(UserError, match=rf"t\.tsv:2: a line of {LONGEST} characters or more \(is it a table\?\)"):
        read_tags_tsv(tmp_path / "t.tsv")


@pytest.mark.parametrize("rules", [METADATA, DATA_DIR])
def test_a_duration_of_more_than_three_years_is_refused(tmp_path: Path, rules: Rules) -> None:
    path = tmp_path / "durations.tsv"
    path.write_text("filename\tduration\na.wav\t1e8\nb.wav\t1e300\n")
    with pytest.raises(UserError, match=r"durations\.tsv:3: duration 1e300 is above 1e\+08 \(seconds are expected\)"):
        read_durations_tsv(path, rules)


def test_durations_read_back(tmp_path: Path) -> None:
    write_durations_tsv(tmp_path / "d.tsv", {"b": 10.0, "a": 0.123456, "c": 12345.649})
    assert list(read_durations_tsv(tmp_path / "d.tsv", DATA_DIR).items()) == [
        ("a", 0.123456),
        ("b", 10.0),
        ("c", 12345.649),
    ]
    (tmp_path / "d.tsv").write_text("filename\tduration\n")
    with pytest.raises(UserError, match="names no clip"):
        read_durations_tsv(tmp_path / "d.tsv")
