"""Training sets: reading, order, sampling and cache."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from sed.data.batches import BatchSampler, FeaturePool, TrainingSet, arrange, choose_cache, load_set, steps_per_epoch
from sed.data.directory import DataDir
from sed.data.prepare.coverage import write_coverage
from sed.data.store import FeatureStore
from sed.errors import UserError

LABELS = ["Cat", "Dog", "Speech"]
SIZES = {"unlabelled": 4, "strong_real": 2, "weak": 4, "strong_synth": 2}
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def sets(dump: Path) -> list[TrainingSet]:
    """The four sets of the tiny dump."""
    return arrange(
        [load_set(dump / name, LABELS, frames=50, frame_seconds=0.02, batch_size=b) for name, b in SIZES.items()]
    )


def test_sets_are_ordered_by_supervision_and_the_one_of_fewest_steps_is_an_epoch(sets: list[TrainingSet]) -> None:
    assert [s.name for s in sets] == ["strong_real", "strong_synth", "weak", "unlabelled"]
    assert steps_per_epoch(sets) == 9 // 2  # strong_real: 9 clips, 2 per step


def test_an_epoch_counts_the_clips_that_the_metadata_names(dump: Path, tmp_path: Path) -> None:
    shutil.copytree(dump / "weak", tmp_path / "weak")
    named = {f"weak_{i:03d}": ["Cat"] for i in range(40)}  # 25 of which the dump has

    def weak() -> TrainingSet:
        return load_set(tmp_path / "weak", LABELS, frames=50, frame_seconds=0.02, batch_size=4)

    assert (steps_per_epoch([weak()]), weak().found) == (6, "25")
    write_coverage(tmp_path / "weak" / "coverage.tsv", "weak", named, {*weak().store.clips})
    assert (steps_per_epoch([weak()]), weak().found) == (10, "25 of 40")
    assert steps_per_epoch([weak()], clips="found") == 6
    paper = dataclasses.replace(weak(), named=1578)
    assert steps_per_epoch([paper]) == 394


def test_each_pass_sees_each_clip_once_in_a_new_order(sets: list[TrainingSet]) -> None:
    sampler = BatchSampler(sets, seed=1)
    seen = np.concatenate([sampler.rows(step)[:2] for step in range(9)])  # strong_real: 9 clips, twice
    assert sorted(seen[:9]) == sorted(seen[9:]) == list(range(9))
    assert list(seen[:9]) != list(seen[9:])
    weak = np.concatenate([sampler.rows(step)[4:8] for step in range(25)])
    assert sorted(weak) == sorted([*range(9 + 14, 9 + 14 + 25)] * 4)  # 25 clips, after both strong sets


def test_rows_depend_on_seed_and_step_alone(sets: list[TrainingSet]) -> None:
    in_order = [BatchSampler(sets, seed=1).rows(step) for step in range(30)]
    sampler = BatchSampler(sets, seed=1)
    for step in np.random.default_rng(0).permutation(30):
        assert np.array_equal(sampler.rows(int(step)), in_order[step])
    assert not np.array_equal(BatchSampler(sets, seed=2).rows(0), in_order[0])
    without_weak = [s for s in sets if s.name != "weak"]
    assert np.array_equal(BatchSampler(without_weak, seed=1).rows(5)[:4], in_order[5][:4])


def test_targets_are_those_of_the_set_s_files(dump: Path, sets: list[TrainingSet]) -> None:
    strong, _, weak, unlabelled = sets
    events = DataDir.load(dump / "strong_real", LABELS).events
    tags = DataDir.load(dump / "weak", LABELS).tags
    assert strong.targets is not None and weak.targets is not None and unlabelled.targets is None
    assert events is not None and tags is not None
    whole = strong.targets[np.arange(len(strong))]
    middles = (np.arange(50) + 0.5) * 0.02
    for row, clip in enumerate(strong.store.clips):
        for column, label in enumerate(LABELS):
            spans = [(event.onset, event.offset) for event in events[clip] if event.label == label]
            clear = np.array([all(abs(t - edge) > 0.011 for span in spans for edge in span) for t in middles])
            inside = np.array([any(on <= t < off for on, off in spans) for t in middles])
            np.testing.assert_array_equal(whole[row, clear, column], inside[clear])
    for row, clip in enumerate(weak.store.clips):
        assert {LABELS[k] for k in np.flatnonzero(weak.targets[[row]][0])} == set(tags[clip])


@pytest.mark.parametrize("cache", ["ram", "none"])
def test_a_pool_gives_the_rows_of_its_sets_in_any_order(dump: Path, sets: list[TrainingSet], cache: str) -> None:
    pool = FeaturePool(sets, cache=cache, device=CPU)
    stores = [FeatureStore(dump / s.name) for s in sets]
    whole = np.concatenate([store.read(range(len(store.clips))) for store in stores])
    rows = np.random.default_rng(0).permutation(len(whole))[:17]
    np.testing.assert_array_equal(pool.read(rows).numpy(), whole[rows])
    np.testing.assert_array_equal(pool.valid, np.concatenate([store.valid for store in stores]))
    assert pool.nbytes == whole.nbytes


def test_bad_sets_are_refused(dump: Path, sets: list[TrainingSet], tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"batch size 10 of strong_real is larger than the set, 9 clips \(.*--batch-sizes.*--train-args"
    ):
        arrange([load_set(dump / "strong_real", LABELS, frames=50, frame_seconds=0.02, batch_size=10)])
    with pytest.raises(UserError, match="no training set with labels"):
        arrange([s for s in sets if s.name == "unlabelled"])
    with pytest.raises(UserError, match="unknown label"):
        load_set(dump / "weak", ["Cat"], frames=50, frame_seconds=0.02)
    with pytest.raises(UserError, match="no such data directory"):
        load_set(tmp_path / "none", LABELS, frames=50, frame_seconds=0.02)


def test_sets_of_two_front_ends_are_refused_with_what_differs(dump: Path, sets: list[TrainingSet]) -> None:
    other = FeatureStore(dump / "weak")
    other.front_end = {**other.front_end, "f_min": 30.0}
    strange = dataclasses.replace(sets[2], store=other)
    with pytest.raises(UserError, match=r"weak: features of another front end than strong_real: f_min is 30\.0, not "):
        arrange([sets[0], strange])


def test_the_cache_is_what_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    monkeypatch.setattr("sed.data.batches.available", lambda: 1000)
    # 0.6 of the free memory may be used
    assert [choose_cache("auto", size, CPU) for size in (0, 599, 600, 10**9)] == ["ram", "ram", "none", "none"]
    assert choose_cache("device", 10**12, CPU) == choose_cache("ram", 10**12, CPU) == "ram"
    assert choose_cache("none", 0, CPU) == "none"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")  # each process has all features
    assert [choose_cache("auto", size, CPU) for size in (149, 150)] == ["ram", "none"]
