import argparse

import pytest

from sed.config import Parser
from sed.errors import UserError
from sed.evaluation.postprocessing.class_option import ClassOption, per_class

LABELS = ["Dog", "Cat", "Speech"]
OPTION = ClassOption(
    name="some-length", help="seconds", default=0.3, most=2.0, tables={"usual": {"Dog": 1.5}}, unset="usual"
)


def parsed(*arguments: str) -> argparse.Namespace:
    parser = Parser("test")
    OPTION.register(parser)
    return parser.parse_args(arguments)


def test_text_is_one_number_or_numbers_per_class() -> None:
    assert per_class("0.4") == {"*": 0.4}
    assert per_class("Speech = 0.4, *=0.6,a=b=1") == {"Speech": 0.4, "*": 0.6, "a=b": 1.0}
    with pytest.raises(argparse.ArgumentTypeError, match="'x=y' is neither"):
        per_class("0.1,x=y")


def test_an_option_that_is_not_given_is_none_and_the_help_has_its_default() -> None:
    assert OPTION.given(parsed(), LABELS) is None
    assert OPTION.defaults(LABELS) == {"Dog": 1.5, "Cat": 0.3, "Speech": 0.3}
    for stored, own in ((True, "the model's own, else "), (False, "")):
        parser = Parser("test")
        OPTION.register(parser, stored=stored)
        text = " ".join(parser.format_help().split())
        assert f"seconds; labels that are not named get the default (default: {own}usual)" in text
        assert "None" not in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("usual", [1.5, 0.3, 0.3]),  # given, though it is the default
        ("1", [1.0, 1.0, 1.0]),
        ("Cat=2", [1.5, 2.0, 0.3]),
        ("Cat=0,*=1", [1.0, 0.0, 1.0]),
    ],
)
def test_given_text_has_a_number_for_each_label(text: str, expected: list[float]) -> None:
    assert OPTION.given(parsed("--some-length", text), LABELS) == dict(zip(LABELS, expected, strict=True))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Bird=1", "--some-length: unknown label 'Bird' .known: Dog, Cat, Speech"),
        ("Dog=2.1", "--some-length: 2.1 is out of range .0.0 to 2.0"),
        ("-1", "out of range"),
        ("nan", "out of range"),
        ("inf", "out of range"),
        ("common", "--some-length: 'common' is neither a number nor label=number"),
        ("0,5", "--some-length: '0,5': two numbers without a label .decimals take a point"),
        ("Dog=1,Cat=2,Dog=1.5", "--some-length: .*'Dog' comes twice"),
    ],
)
def test_bad_text_is_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        OPTION.given(parsed(f"--some-length={text}"), LABELS)


def test_without_an_upper_bound_infinity_is_refused_as_not_finite() -> None:
    with pytest.raises(ValueError, match=r"inf is out of range \(a finite number, 0\.0 or above\)"):
        ClassOption(name="length", help="seconds", default=0.3).checked(float("inf"))
