from typing import ClassVar

from sed.evaluation.postprocessing.step import PerClass


class Numbers(PerClass[float]):
    grid: ClassVar = (1.0, 2.0)


def test_each_value_of_the_grid_is_a_candidate_and_each_class_takes_the_chosen_one() -> None:
    one, two = Numbers.candidates(["a", "b"])
    assert one.by_label == {"a": 1.0, "b": 1.0} and two.by_label == {"a": 2.0, "b": 2.0}
    combined = Numbers.combined({"a": two, "b": one})
    assert type(combined) is Numbers and combined.by_label == {"a": 2.0, "b": 1.0}
