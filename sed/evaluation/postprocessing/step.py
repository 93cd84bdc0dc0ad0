"""Interface of post-processing steps, and base classes for steps with one number per class.

A new step is one file, named like the step, with a class that satisfies `Step`, and one line in `registry.py`. Options,
results, tuned files, packed models, ONNX files, tuning and streaming prediction then support it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    import argparse
    from typing import Self

    from sed.data.scores import FrameScores
    from sed.evaluation.postprocessing.class_option import ClassOption

P = TypeVar("P")


class Component(Protocol):
    """Part of post-processing that has options and is stored with results and models: a step, or the final decision.

    name: its name in options and in stored forms; options: its own options, of every command that post-processes.
    """

    name: ClassVar[str]
    options: ClassVar[Sequence[ClassOption]]

    @classmethod
    def resolve(cls, args: argparse.Namespace, labels: Sequence[str], stored: Self | None = None) -> Self:
        """Build from options; numbers that they do not give are those of `stored`, or else the default.

        Args:
            args: parsed options; an option that is not given is None.
            labels: the classes.
            stored: the same component as stored with a model; None if there is none.

        Returns:
            The component, with parameters for all labels.

        Raises:
            UserError: an unknown label, no number, or one out of range.
        """
        ...

    def to_dict(self) -> dict[str, Any]:
        """Return the entries of the stored form (JSON) that hold the parameters; no other component uses their keys."""
        ...

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any], labels: Sequence[str]) -> Self:
        """Read what `to_dict` wrote; KeyError, TypeError or ValueError if it is missing or malformed."""
        ...


class Step(Component, Protocol):
    """A step between posteriors and decisions.

    title: its name in text for users; meaning: what it does to the curve of a label, in a few words.
    needs_clip: whether it reads clip posteriors. Streaming prediction applies such a step to every frame as it arrives,
    so the step must treat each frame by itself. A frame's clip posterior is then the mean of the clip posteriors of the
    windows that contain it, each weighted by its own square (the sum of cubes over the sum of squares; see
    `sed.prediction.windows.Join`).
    is_rank_filter: whether its output is a minimum, median or maximum of nearby scores of the class. Such a filter
    commutes with steps that apply a monotone function to each frame by itself; those may then be applied before it.
    """

    title: ClassVar[str]
    meaning: ClassVar[str]
    needs_clip: ClassVar[bool]
    is_rank_filter: ClassVar[bool]

    def apply(self, scores: FrameScores) -> FrameScores:
        """Return the scores after this step; their frames may have other borders than the input's.

        Raises:
            UserError: the step needs clip posteriors, and the scores have none.
        """
        ...

    def reach(self, frame_seconds: float) -> int | None:
        """Return how many frames on either side a frame's result depends on; None: on all, so it cannot stream."""
        ...


class Tunable(Step, Protocol):
    """A step that `sed.bin.tune` can tune for each class.

    grid: the values of the parameters that tuning chooses from.
    """

    grid: ClassVar[Sequence[Any]]

    @classmethod
    def candidates(cls, labels: Sequence[str]) -> Sequence[Self]:
        """Return one instance per point of the grid; classes without events in the tuning set get the first."""
        ...

    @classmethod
    def combined(cls, chosen: Mapping[str, Self]) -> Self:
        """Take each class's parameters from the instance that was chosen for it."""
        ...


@dataclass(frozen=True)
class PerClass(Generic[P]):
    """Base of components with parameters for each class.

    by_label: {label: parameters}; steps that set `grid` can be tuned.
    """

    grid: ClassVar[Sequence[Any]] = ()

    by_label: Mapping[str, P]

    @classmethod
    def candidates(cls, labels: Sequence[str]) -> list[Self]:
        """Return one instance per point of the grid, with the same parameters for all classes."""
        return [cls(dict.fromkeys(labels, value)) for value in cls.grid]

    @classmethod
    def combined(cls, chosen: Mapping[str, Self]) -> Self:
        """Take each class's parameters from the instance that was chosen for it."""
        return cls({label: one.by_label[label] for label, one in chosen.items()})


@dataclass(frozen=True)
class OneNumber(PerClass[float]):
    """Base of components with a single option, one number for each class.

    key: key of {label: number} in stored forms.
    """

    name: ClassVar[str]
    key: ClassVar[str]
    options: ClassVar[Sequence[ClassOption]]

    @classmethod
    def resolve(cls, args: argparse.Namespace, labels: Sequence[str], stored: Self | None = None) -> Self:
        """Build from the option; numbers that it does not give are those of `stored`, or else the option's default.

        Args:
            args: the parsed options.
            labels: the classes.
            stored: the component as stored with a model; None if there is none.

        Returns:
            The component.

        Raises:
            UserError: an unknown label, no number, or one out of range.
        """
        (option,) = cls.options
        given = option.given(args, labels, None if stored is None else stored.by_label)
        if given is None and stored is not None:
            return stored
        return cls(option.defaults(labels) if given is None else given)

    def to_dict(self) -> dict[str, Any]:
        """Return {key: {label: number}}."""
        return {self.key: dict(self.by_label)}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any], labels: Sequence[str]) -> Self:
        """Read {key: {label: number}}; ValueError for numbers that the option would refuse."""
        (option,) = cls.options
        return cls({label: option.checked(float(stored[cls.key][label])) for label in labels})
