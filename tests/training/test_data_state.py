"""A set's checksum changes with what training reads of it, and with nothing else."""

import shutil

import pytest
from tiny_training import write_dump, write_set

from sed.training.data_state import data_state


@pytest.fixture
def sets(tmp_path):
    return write_dump(tmp_path / "dump")


def test_a_copy_elsewhere_has_the_same_checksums(sets, tmp_path):
    state = data_state(sets, ["weak", "strong_real", "absent"])
    assert list(state) == ["weak", "strong_real"] and state["weak"] != state["strong_real"]
    assert data_state(shutil.copytree(sets, tmp_path / "copy"), ["weak", "strong_real"]) == state


@pytest.mark.parametrize(
    "changed", ["../labels.txt", "events.tsv", "durations.tsv", "feats.scp", "tags.tsv", "soft.tsv"]
)
def test_each_table_counts(sets, changed):
    before = data_state(sets, ["strong_real"])
    with (sets / "strong_real" / changed).open("a") as file:
        file.write("zoo feats.1.h5:0\n")
    assert data_state(sets, ["strong_real"]) != before


def test_features_count_and_the_paths_of_recordings_do_not(sets):
    before = data_state(sets, ["weak", "unlabelled"])
    (sets / "weak" / "wav.scp").write_text("weak_000 /somewhere/else.wav\n")
    shutil.rmtree(sets / "unlabelled")
    write_set(sets / "unlabelled", clips=30, supervision="none", seed=9)  # the clips of before, with other features
    after = data_state(sets, ["weak", "unlabelled"])
    assert after["weak"] == before["weak"] and after["unlabelled"] != before["unlabelled"]
