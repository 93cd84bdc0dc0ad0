"""Paired differences: the spread that pairing removes, which results are one system, which cannot be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sed.errors import UserError
from sed.evaluation.confidence import bootstrap
from sed.evaluation.confidence.paired import (
    System,
    check_comparable,
    class_differences,
    differences,
    find_result,
    load_systems,
    paired,
    terminal,
)
from sed.files import write_json

COUNT = 400
NAMES = ["event_f1_macro", "psds1", "x\tevent_f1"]
CLIPS = np.random.default_rng(0).normal(0, 0.05, COUNT)  # what the drawn clips do to every system


def system(name: str, *values: float, noise: float = 0.0) -> System:
    """Return a system with one seed per value; its samples are the value, CLIPS and normal noise of std `noise`."""
    samples = []
    for seed, value in enumerate(values):
        own = np.random.default_rng([seed, ord(name[0])]).normal(0, 1, COUNT) * noise
        rows = np.concatenate([[value], value + CLIPS + own])
        samples.append(bootstrap.Samples(names=NAMES, values=np.tile(rows, (len(NAMES), 1)), clips="same", seed=0))
    results = [{"per_class": {"x": {}}, "event_f1_macro": value, "psds1": value} for value in values]
    return System(name=name, paths=[Path("result.json")] * len(values), results=results, samples=samples)


def test_what_the_clips_do_to_both_is_no_part_of_the_difference() -> None:
    found = paired(system("a", 0.3), system("b", 0.4), "psds1")
    assert found is not None and found.clear and found.above == 1.0
    assert (found.value, found.low, found.high) == pytest.approx((0.1, 0.1, 0.1))


def test_the_interval_is_that_of_the_subtracted_samples() -> None:
    a, b = system("a", 0.3, noise=0.1), system("b", 0.32, noise=0.1)
    found = paired(a, b, "psds1")
    subtracted = b.samples[0].of("psds1")[1:] - a.samples[0].of("psds1")[1:]
    assert found is not None and not found.clear
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(subtracted, [0.025, 0.975])))
    assert found.above == (subtracted > 0).mean()
    back = paired(b, a, "psds1")
    assert back is not None and (back.low, back.high) == pytest.approx((-found.high, -found.low))


def test_seeds_that_are_drawn_apart_widen_the_interval() -> None:
    a, b = system("a", 0.3, 0.5), system("b", 0.4, 0.6)  # seeds move both alike
    apart, together = paired(a, b, "psds1"), paired(a, b, "psds1", same_seeds=True)
    assert apart is not None and together is not None and apart.value == pytest.approx(together.value)
    assert apart.high - apart.low > 0.2 > together.high - together.low


def test_only_numbers_that_both_have_are_compared() -> None:
    a, b = system("a", 0.3), system("b", 0.4)
    assert [found.number for found in differences(a, b)] == ["event_f1_macro", "psds1"]
    assert paired(a, b, "psds2") is None
    assert list(class_differences(a, b, "event_f1")) == ["x"] and class_differences(a, b, "psds1") == {}
    undefined = [replace(b.samples[0], values=np.full_like(b.samples[0].values, np.nan))]
    assert paired(a, replace(b, samples=undefined), "psds1") is None
    of_samples_only = b.samples[0].values.copy()
    of_samples_only[:, 0] = np.nan
    assert paired(a, replace(b, samples=[replace(b.samples[0], values=of_samples_only)]), "psds1") is None


def test_the_table_has_the_unit_of_each_number() -> None:
    lines = terminal(system("a", 0.3), system("b", 0.4)).splitlines()
    assert lines[3].split("  ")[0] == "EB-F1, macro, %" and "30.00" in lines[3] and "+10.00" in lines[3]
    assert lines[4].startswith("PSDS1 ") and "0.3000" in lines[4] and "[+0.1000, +0.1000]" in lines[4]
    assert "(0 is inside)" in terminal(system("a", 0.3), system("b", 0.3))


def test_the_table_has_whole_names_apart() -> None:
    names = ["ast_sed_lr2e-4", "ast_sed_lr2e-5"]
    lines = terminal(*(system(name, 0.3) for name in names)).splitlines()
    assert lines[2].split() == ["number", *names, "difference", "interval"]
    assert lines[3].index("30.00") + len("30.00") == lines[2].index(names[0]) + len(names[0])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"clips": "other"}, "other clips"),
        ({"seed": 1}, "other bootstrap samples"),
        ({"values": np.zeros((len(NAMES), 5))}, "other bootstrap samples"),
    ],
)
def test_samples_of_other_clips_or_draws_are_refused(change: dict[str, Any], said: str) -> None:
    a, b = system("a", 0.3), system("b", 0.4)
    check_comparable([a, b])
    with pytest.raises(UserError, match=said):
        check_comparable([a, replace(b, samples=[replace(b.samples[0], **change)])])


def test_samples_of_another_result_are_refused() -> None:
    """Two scorings with `--out a.json` and `--out b.json` in one folder have one bootstrap.npz, that of the second."""
    a, b = system("a", 0.3), system("b", 0.4)
    with pytest.raises(UserError, match=r"bootstrap\.npz: of another result than result\.json"):
        check_comparable([replace(a, samples=b.samples), b])


def test_other_labels_are_refused() -> None:
    a, b = system("a", 0.3), system("b", 0.4)
    with pytest.raises(UserError, match="label set differs"):
        check_comparable([a, replace(b, results=[{"per_class": {"y": {}}}])])


def put(
    exp: Path,
    name: str,
    *,
    seed: int | None,
    pooling: str = "fte",
    folder: str = "validation",
    steps: Sequence[str] = (),
) -> None:
    result = {"set": folder, "clips": 1, "clips_expected": 1, "per_class": {}, "post_processing": {"steps": [*steps]}}
    result["model"] = {"config": {"seed": seed, "pooling": pooling}}
    write_json(exp / name / folder / "result.json", result)
    bootstrap.save(exp / name / folder / "bootstrap.npz", system(name, 0.3).samples[0])


def test_seeds_beside_an_experiment_are_found(tmp_path: Path) -> None:
    put(tmp_path, "a", seed=1)
    put(tmp_path, "a-2", seed=2)
    put(tmp_path, "a-again", seed=2)  # the same seed twice counts once
    put(tmp_path, "a-boxes", seed=5, steps=["csebbs"])  # other post-processing is another system
    put(tmp_path, "b", seed=3, pooling="mean")
    put(tmp_path, "c", seed=None, pooling="max")
    put(tmp_path, "c-4", seed=4, pooling="max")

    def seeds_of(text: str, *, seeds: bool = True) -> int:
        return len(load_systems([text], seeds=seeds)[0].results)

    put(tmp_path, "d_seed1", seed=1, pooling="from a_seed1")  # each trained from another system's model of its seed
    put(tmp_path, "d_seed2", seed=2, pooling="from a_seed2")

    assert seeds_of(str(tmp_path / "d_seed2")) == 2
    assert (seeds_of(str(tmp_path / "a")), seeds_of(str(tmp_path / "a"), seeds=False)) == (2, 1)
    assert seeds_of(str(tmp_path / "b")) == 1
    assert seeds_of(str(tmp_path / "c")) == 1  # of an unknown seed, which another may have, too
    assert seeds_of(f"{tmp_path / 'a'},{tmp_path / 'b'}") == 2


def test_a_system_of_several_seeds_is_not_named_after_one(tmp_path: Path) -> None:
    put(tmp_path, "a_seed1", seed=1)
    put(tmp_path, "a_seed2", seed=2)
    put(tmp_path, "b_seed3", seed=3, pooling="mean")
    put(tmp_path, "c_seed4", seed=4, pooling="max")

    def name_of(*names: str, seeds: bool = True) -> str:
        return load_systems([",".join(str(tmp_path / name) for name in names)], seeds=seeds)[0].name

    assert name_of("a_seed2") == name_of("a_seed1", "a_seed2") == "a"
    assert name_of("a_seed2", seeds=False) == "a_seed2"
    assert name_of("b_seed3") == "b_seed3"
    assert name_of("b_seed3", "c_seed4") == "b_seed3"
    put(tmp_path, "a_seed9", seed=9, pooling="other")
    put(tmp_path, "a_seed10", seed=10, pooling="other")
    both = load_systems([str(tmp_path / "a_seed1"), str(tmp_path / "a_seed9")], seeds=True)
    assert [one.name for one in both] == ["a_seed1", "a_seed9"]


def test_two_seeds_of_one_system_can_be_compared(tmp_path: Path) -> None:
    for seed, name in enumerate(("a", "a-2", "a-3"), 1):
        put(tmp_path, name, seed=seed)
    found = load_systems([str(tmp_path / "a"), str(tmp_path / "a-2")], seeds=True)
    assert [[path.parts[-3] for path in one.paths] for one in found] == [["a"], ["a-2"]]


def test_a_result_that_a_system_names_twice_is_not_two_seeds(tmp_path: Path) -> None:
    put(tmp_path, "a", seed=1)
    with pytest.raises(UserError, match="one result twice"):
        load_systems([f"{tmp_path}/a,{tmp_path}/a/validation"])


@pytest.mark.parametrize("text", ["", "exp/a,", "exp/a, ,exp/b"])
def test_an_empty_name_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="an experiment without a name"):
        load_systems([text])


def test_seeds_that_cannot_be_compared_are_left_out_with_a_line(tmp_path: Path, log_lines: list[str]) -> None:
    for seed, name in enumerate(("a", "a-2", "a-3", "a-4"), 1):
        put(tmp_path, name, seed=seed)
    for name, change in (("a-2", {"clips": "others"}), ("a-3", {"seed": 1})):
        path = tmp_path / name / "validation" / "bootstrap.npz"
        bootstrap.save(path, replace(bootstrap.load(path), **change))
    (found,) = load_systems([str(tmp_path / "a")], seeds=True)
    check_comparable([found])
    assert [path.parts[-3] for path in found.paths] == ["a", "a-4"]
    assert [line.partition(": left out")[0].split("/")[-3] for line in log_lines] == ["a-2", "a-3"]


def test_a_result_is_found_by_file_set_or_experiment(tmp_path: Path) -> None:
    put(tmp_path, "a", seed=1)
    result = tmp_path / "a" / "validation" / "result.json"
    assert find_result(result) == find_result(result.parent) == find_result(tmp_path / "a") == result
    put(tmp_path, "a", seed=1, folder="public_eval")
    assert find_result(tmp_path / "a", "validation") == result
    with pytest.raises(UserError, match="several sets: public_eval, validation"):
        find_result(tmp_path / "a")
    with pytest.raises(UserError, match="score first"):
        find_result(tmp_path / "nothing")
    for name in ("/validation", "valid*"):  # a name and no pattern
        with pytest.raises(UserError, match="score first"):
            find_result(tmp_path / "a", name)
