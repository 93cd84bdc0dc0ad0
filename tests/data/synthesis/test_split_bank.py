import csv
import os
from pathlib import Path

import pytest
import tiny_model
from hypothesis import given, settings
from hypothesis import strategies as st

from sed.bin import split_soundbank
from sed.data.synthesis import split_bank
from sed.errors import UserError


def made(**labels):
    """Return {file: source}; `Dog="aab"` gives three recordings of the label Dog, two of them of the source a."""
    return {
        f"train/foreground/{label}/{i}.wav": source for label, text in labels.items() for i, source in enumerate(text)
    }


def sides_of(sides, label):
    return {side for file, side in sides.items() if f"/{label}/" in file}


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from(["Cat", "Dog", "Speech"]), st.text("abcdef", min_size=1, max_size=12), min_size=1),
    st.floats(0.05, 0.9),
    st.integers(0, 5),
)
def test_every_recording_is_on_one_side_and_a_source_is_not_divided(labels, share, seed):
    files = made(**labels)
    sides = split_bank.split(files, share, seed)
    assert sides.keys() == files.keys()
    by_source = {}
    for file, source in files.items():
        by_source.setdefault(source, set()).add(sides[file])
    assert all(len(found) == 1 for found in by_source.values())
    assert split_bank.split(dict(reversed(files.items())), share, seed) == sides  # whatever the order of the files


def test_a_label_with_two_sources_is_on_both_sides_and_one_with_a_single_source_in_train():
    sides = split_bank.split(made(Cat="ab", Dog="c", Speech="defghijk"), 0.25, 0)
    assert sides_of(sides, "Cat") == {"train", "validation"}
    assert sides_of(sides, "Dog") == {"train"}
    assert sum(side == "validation" for file, side in sides.items() if "Speech" in file) == 2
    assert sides_of(split_bank.split(made(Cat="ab"), 0.9, 0), "Cat") == {"train", "validation"}


def test_validation_recordings_of_the_bank_are_not_used():
    files = {**made(Cat="ab"), "validation/foreground/Cat/9.wav": "z", "README.wav": "y"}
    assert not [file for file in split_bank.split(files, 0.25, 0) if not file.startswith("train/")]
    with pytest.raises(UserError, match="no recordings"):
        split_bank.split({"validation/foreground/Cat/9.wav": "z"}, 0.25, 0)


def test_a_folder_that_is_no_soundbank_is_refused_by_name_and_nothing_is_written(tmp_path, capsys):
    folder, count = tmp_path / "sounds", tmp_path / "count.json"
    folder.mkdir()
    for arguments in ((folder, tmp_path / "new"), ("--count", count, folder)):
        assert tiny_model.call(split_soundbank, *arguments) == 2
        assert f"{folder}: no recordings in " in capsys.readouterr().err
    assert not count.exists() and not (tmp_path / "new").exists()


@pytest.fixture
def bank(tmp_path):
    """Four training recordings, two of one source, with their attribution; one of validation without."""
    rows = [("a.wav", "http://x/1"), ("b.wav", "http://x/1"), ("c.wav", ""), ("d.wav", "http://x/3")]
    lines = ["file\tsource\tauthor\tlicence"]
    for name, source in rows:
        path = tmp_path / "bank" / "train" / "foreground" / "Dog" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        lines.append(f"train/foreground/Dog/{name}\t{source}\tsomeone\tCC0")
    held = tmp_path / "bank" / "validation" / "foreground" / "Dog" / "e.flac"
    held.parent.mkdir(parents=True)
    held.write_bytes(b"")
    (tmp_path / "bank" / "ATTRIBUTION.tsv").write_text("\n".join(lines) + "\n")
    return tmp_path / "bank"


def test_a_source_is_that_of_the_attribution_else_the_author_else_the_file(bank):
    found = split_bank.sources(bank)
    folder = "train/foreground/Dog"
    assert found[f"{folder}/a.wav"] == found[f"{folder}/b.wav"] == "http://x/1"
    assert found[f"{folder}/c.wav"] == "someone"
    assert found["validation/foreground/Dog/e.flac"] == "validation/foreground/Dog/e.flac"
    assert split_bank.counts(found) == {"train": {"Dog": [3, 4]}, "validation": {"Dog": [1, 1]}}


def test_an_attribution_of_a_spreadsheet_with_a_byte_order_mark_is_read(bank):
    table = bank / "ATTRIBUTION.tsv"
    table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes())
    assert split_bank.sources(bank)["train/foreground/Dog/b.wav"] == "http://x/1"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("file", "path", 1), r"ATTRIBUTION.tsv:1: no column 'file'"),
        (
            lambda text: text.replace("someone", '"someone', 1),
            r"ATTRIBUTION.tsv: a quotation mark without its pair, at",
        ),
        (
            lambda text: '"' + text + "a" * csv.field_size_limit(),
            r"ATTRIBUTION.tsv: field larger than field limit .*, at or before line",
        ),
    ],
)
def test_an_attribution_that_would_not_keep_sources_together_is_refused(bank, change, message):
    """Once, its sources were ignored, all or those after a quotation mark."""
    (bank / "ATTRIBUTION.tsv").write_text(change((bank / "ATTRIBUTION.tsv").read_text()))
    with pytest.raises(UserError, match=message):
        split_bank.sources(bank)


def test_an_attribution_may_begin_paths_with_a_dot_and_decompose_letters(tmp_path):
    bank, files = tmp_path / "bank", [f"train/foreground/Dog/h\u00e4{n}.wav" for n in range(2)]  # composed: one letter
    for file in files:
        (bank / file).parent.mkdir(parents=True, exist_ok=True)
        (bank / file).touch()
    named = ["./" + files[0], files[1].replace("\u00e4", "a\u0308")]
    (bank / "ATTRIBUTION.tsv").write_text("file\tsource\n" + "".join(f"{name}\tkennel\n" for name in named))
    assert split_bank.sources(bank) == dict.fromkeys(files, "kennel")
    split_bank.write(bank, tmp_path / "out", dict.fromkeys(files, "validation"))
    moved = [file.replace("train", "validation") for file in files]
    assert split_bank.sources(tmp_path / "out") == dict.fromkeys(moved, "kennel")


def test_attributed_files_that_the_bank_lacks_are_counted(bank, log_lines):
    (bank / "train/foreground/Dog/a.wav").rename(bank / "train/foreground/Dog/z.wav")
    split_bank.sources(bank)
    expected = "1 of its 4 files are not in the soundbank, as train/foreground/Dog/a.wav"
    assert log_lines == [f"{bank / 'ATTRIBUTION.tsv'}: {expected}"]


def test_the_new_bank_links_to_the_old_and_keeps_its_attribution(bank, tmp_path):
    out = tmp_path / "new"
    for seed in (0, 1):  # the second replaces the first
        sides = split_bank.split(split_bank.sources(bank), 0.25, seed)
        split_bank.write(bank, out, sides)
    links = sorted(path for path in out.rglob("*.wav"))
    assert len(links) == 4 and all(path.is_symlink() and path.exists() for path in links)
    assert {os.path.realpath(path).split("/bank/")[1] for path in links} == set(sides)
    again = split_bank.sources(out)
    for file, side in sides.items():
        assert again[file.replace("train/", f"{side}/", 1)] == split_bank.sources(bank)[file]


@pytest.mark.parametrize(
    "name", ["train/notes.txt", "train/foreground/Dog/mine.wav", "notes.txt", "validation/x/y", "validation"]
)
def test_a_folder_that_is_not_a_split_is_not_replaced(bank, tmp_path, name):
    """Once, any folder with a train/ in it counted as a split, and was removed."""
    out = tmp_path / "mine"
    (out / "train").mkdir(parents=True)
    (out / name).parent.mkdir(parents=True, exist_ok=True)
    (out / name).write_text("precious")
    with pytest.raises(UserError, match=rf"mine: holds {name}, which no split has written"):
        split_bank.write(bank, out, split_bank.split(split_bank.sources(bank), 0.25, 0))
    assert (out / name).read_text() == "precious"


@pytest.mark.parametrize("name", [".", "..", "{absolute}"])
def test_the_current_folder_is_not_replaced(bank, tmp_path, monkeypatch, name):
    here = tmp_path / "empty" / "below"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    sides = split_bank.split(split_bank.sources(bank), 0.25, 0)
    with pytest.raises(UserError, match="is or holds the current folder"):
        split_bank.write(bank, Path(name.format(absolute=here)), sides)
    assert here.is_dir()


def test_the_bank_itself_is_not_replaced(bank, tmp_path):
    sides = split_bank.split(split_bank.sources(bank), 0.25, 0)
    split_bank.write(bank, tmp_path / "links", sides)  # a bank of links only
    (tmp_path / "to_bank").symlink_to(bank)
    for source, out in (
        (bank, bank),
        (bank, tmp_path),
        (tmp_path / "links", tmp_path / "links"),
        (bank, tmp_path / "to_bank"),
    ):
        with pytest.raises(UserError, match="holds the soundbank that is to be split"):
            split_bank.write(source, out, sides)
    assert len(list(bank.rglob("*.*"))) == 6  # five recordings and ATTRIBUTION.tsv
    assert all(path.exists() for path in (tmp_path / "links").rglob("*.wav"))


def test_counting_with_a_folder_for_the_split_is_refused(bank, tmp_path, capsys):
    assert tiny_model.call(split_soundbank, "--count", tmp_path / "count.json", bank, tmp_path / "new") == 2
    assert capsys.readouterr().err.endswith("(leave it out, or --count)\n")
    assert not (tmp_path / "count.json").exists() and not (tmp_path / "new").exists()
