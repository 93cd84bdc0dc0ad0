"""Options that take one number for all classes, or one for each class."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sed.errors import UserError

if TYPE_CHECKING:
    from sed.config import Parser


def per_class(text: str) -> dict[str, float]:
    """Parse `0.5` or `Speech=0.4,Dog=0.6` to {label: number}.

    The label `*` stands for those not named: `0.5` is {`*`: 0.5}, and `*=0.5` may be in a list. No label comes
    twice, so the decimal comma of `0,5` is an error.
    """
    values: dict[str, float] = {}
    for part in text.split(","):
        name, equals, value = part.strip().rpartition("=")
        label = name.strip() if equals else "*"
        if label in values:
            what = f"'{label}' comes twice" if equals else "two numbers without a label (decimals take a point)"
            raise argparse.ArgumentTypeError(f"'{text}': {what}")
        try:
            values[label] = float(value)
        except ValueError:
            raise argparse.ArgumentTypeError(f"'{part}' is neither a number nor label=number") from None
    return values


@dataclass(frozen=True, kw_only=True)
class ClassOption:
    """One option, `--name NUMBER` or `--name label=number,...`.

    Attributes:
        name: name of the option, without its dashes.
        help: help text.
        default: number for labels that a given table lacks; without `unset` also for those that the given text does not
            name and a stored model does not have.
        least: smallest number that is allowed.
        most: largest number that is allowed.
        tables: predefined numbers that can be given by name: {name: {label: number}}.
        unset: text that applies when the option is not given, and to labels that it does not name; empty: the
            default for all labels.
    """

    name: str
    help: str
    default: float
    least: float = 0.0
    most: float = math.inf
    tables: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    unset: str = ""

    @property
    def flag(self) -> str:
        """Option as typed on the command line, with its dashes."""
        return f"--{self.name}"

    def register(self, parser: Parser, *, stored: bool = True) -> None:
        """Add the option to a parser, with None as its default; the help text names the value that then applies.

        stored: whether the command takes numbers that are stored with a model.
        """
        own = "the model's own, else " if stored else ""
        unset = self.unset or f"{self.default:g}"
        text = f"{self.help}; labels that are not named get the default (default: {own}{unset})"
        parser.option(self.name, None, text)

    def text(self, args: argparse.Namespace) -> str | None:
        """Return the option's text; None when it is not given."""
        value: str | None = getattr(args, self.name.replace("-", "_"))
        return value

    def given(
        self, args: argparse.Namespace, labels: Sequence[str], stored: Mapping[str, float] | None = None
    ) -> dict[str, float] | None:
        """Return the numbers that the option gives.

        Args:
            args: the parsed options.
            labels: the classes.
            stored: {label: number} of a model, which `label=number,...` leaves as they are for labels that it does not
                name; labels that it lacks, all without a model, then have those of `defaults`.

        Returns:
            {label: number}; None when the option is not given.

        Raises:
            UserError: an unknown label, one that comes twice, no number, or one out of range.
        """
        text = self.text(args)
        return None if text is None else self._parsed(text, labels, {**self.defaults(labels), **(stored or {})})

    def defaults(self, labels: Sequence[str]) -> dict[str, float]:
        """Return {label: number} that applies when the option is not given."""
        return self._parsed(self.unset or str(self.default), labels, {})

    def checked(self, value: float) -> float:
        """Return the number if it is finite and within the bounds; ValueError otherwise."""
        if not (math.isfinite(value) and self.least <= value <= self.most):
            bounded = math.isfinite(self.most)
            allowed = f"{self.least} to {self.most}" if bounded else f"a finite number, {self.least} or above"
            raise ValueError(f"{value} is out of range ({allowed})")
        return value

    def by_label(self, values: Mapping[str, float], labels: Sequence[str]) -> dict[str, float]:
        """Return a number for each label; those not named get that of `*`, else the default.

        Args:
            values: {label: number}, also of the label `*`.
            labels: the classes.

        Raises:
            UserError: an unknown label, no number, or one out of range.
        """
        for label, value in values.items():
            if label != "*" and label not in labels:
                raise UserError(f"{self.flag}: unknown label '{label}' (known: {', '.join(labels)})")
            try:
                self.checked(float(value))
            except (TypeError, ValueError, OverflowError) as error:
                raise UserError(f"{self.flag}: {error}") from None
        return {label: float(values.get(label, values.get("*", self.default))) for label in labels}

    def _parsed(self, text: str, labels: Sequence[str], stored: Mapping[str, float]) -> dict[str, float]:
        if text in self.tables:
            return {label: self.tables[text].get(label, self.default) for label in labels}
        try:
            values = per_class(text)
        except argparse.ArgumentTypeError as error:
            raise UserError(f"{self.flag}: {error}") from None
        return self.by_label(values if "*" in values else {**stored, **values}, labels)
