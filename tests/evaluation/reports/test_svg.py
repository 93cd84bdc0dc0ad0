"""Charts: well-formed, to scale, in the unit that is asked for."""

from __future__ import annotations

import base64
import re
import struct
import zlib
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sed.evaluation.reports import svg

NAME = '<b>&"x"</b>'


def texts(picture: str, tag: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(picture).iter(tag)]


@settings(deadline=None)
@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3), st.integers(2, 10))
def test_ticks_are_round_inside_and_not_too_many(low: float, width: float, number: int) -> None:
    found = svg.ticks(low, low + width, number)
    assert len(found) <= number + 1
    assert all(low - 1e-6 * width <= value <= low + width * (1 + 1e-6) for value in found)
    assert "-0" not in [f"{value:g}" for value in [*found, *svg.ticks(0, width), *svg.ticks(-width, 0)]]
    steps = np.diff(found)
    if len(steps):
        mantissa = steps[0] / 10 ** np.floor(np.log10(steps[0]) + 1e-9)
        assert min(abs(mantissa - m) for m in (1, 2, 5, 10)) < 1e-6 and np.allclose(steps, steps[0])


def test_bars_are_as_long_as_their_values_and_say_them_in_their_unit() -> None:
    rows = [(NAME, [(0.25, (0.2, 0.3))]), ("none", [(None, None)]), ("all", [(1.0, None)])]
    picture = svg.bars("title", rows, factor=100)
    lengths = [float(rect.get("width", "")) for rect in ElementTree.fromstring(picture).iter("rect")]
    assert lengths[0] == pytest.approx(lengths[1] / 4, abs=0.1)
    shown = texts(picture, "text")
    assert {"25.0", "100.0", "no ground truth", NAME} <= set(shown) and "0.25" not in shown
    assert f"{NAME}: 25.00" in texts(picture, "title")
    assert "0.25" in texts(svg.bars("title", rows), "text")


def test_an_axis_goes_from_its_lowest_to_its_highest_value() -> None:
    axes = svg.Axes((2, 4), (1, 3))
    assert (axes.px(2), axes.px(4)) == pytest.approx((svg.LEFT, svg.WIDTH - svg.RIGHT))
    assert axes.py(1) > axes.py(2) > axes.py(3) >= 0


def test_differences_are_coloured_by_what_is_better() -> None:
    rows = [("up", 0.02, 0.01, 0.03), ("down", -0.02, -0.03, -0.01), ("unclear", 0.0, -0.01, 0.01)]

    def colours(picture: str) -> list[str]:
        return [circle.get("fill", "") for circle in ElementTree.fromstring(picture).iter("circle")]

    assert colours(svg.differences("t", rows)) == ["var(--good)", "var(--bad)", "var(--dim)"]
    turned = svg.differences("t", rows, lower_is_better={"up", "down"})
    assert colours(turned) == ["var(--bad)", "var(--good)", "var(--dim)"]
    assert "up: +2.00 [+1.00, +3.00]" in texts(svg.differences("t", rows, factor=100), "title")
    assert "up: +0.0200 [+0.0100, +0.0300]" in texts(svg.differences("t", rows), "title")


def test_differences_lie_on_their_side_of_zero() -> None:
    rows = [("up", 0.02, 0.01, 0.03), ("down", -0.02, -0.03, -0.01), ("none", 0.0, 0.0, 0.0)]
    places = [
        float(c.get("cx", "")) for c in ElementTree.fromstring(svg.differences("t", rows, factor=100)).iter("circle")
    ]
    assert places[1] < places[2] < places[0] and places[0] - places[2] == pytest.approx(places[2] - places[1], abs=0.2)


def test_a_staircase_holds_its_value_to_the_next_point_and_to_the_end() -> None:
    picture = svg.staircases(
        "t", [(NAME, [0.0, 50.0], [0.25, 0.75], "red"), ("x, thresholds", [10.0], [0.5], "blue")], 100.0, "x"
    )
    first, second = ElementTree.fromstring(picture).iter("path")
    points = [tuple(map(float, point.split())) for point in re.split("[ML]", first.get("d", ""))[1:]]
    axes = svg.Axes((0, 100), (0, 1))
    corners = [(0, 0), (0, 0.25), (50, 0.25), (50, 0.75), (100, 0.75)]
    expected = np.array([(axes.px(x), axes.py(y)) for x, y in corners])
    np.testing.assert_allclose(np.array(points), expected, atol=0.051)  # coordinates are rounded to 0.1
    assert first.get("stroke-dasharray") is None and second.get("stroke-dasharray") is not None


def test_a_histogram_counts_what_lies_outside_in_its_outer_bins() -> None:
    values = np.array([-5.0, -0.01, 0.01, 0.02, 3.0, 4.0])
    counted = [text for text in texts(svg.histogram("t", values, 1.0, [0.2], "s"), "title") if ": " in text]
    counts = [int(text.rsplit(" ", 1)[1]) for text in counted]
    assert len(counts) == 40 and sum(counts) == len(values)
    assert (counts[0], counts[-1], counts[19], counts[20]) == (1, 2, 1, 2)
    assert "-0.00" not in "".join(counted)


def test_the_axis_of_a_histogram_has_whole_counts_without_a_sign_of_zero() -> None:
    for copies in (1, 2, 3, 11):
        picture = svg.histogram("t", np.full(copies, 0.02), 1.0, [0.2], "s")
        ticks = [text for text in texts(picture, "text") if text]
        numbers = [text for text in ticks if text.lstrip("-").replace(".", "").isdigit()]
        up = numbers[: len(numbers) - 5]  # those of the y axis; the x axis has -1, -0.5, 0, 0.5, 1
        assert up[0] == "0" and all(text.isdigit() for text in up) and numbers[-5:] == ["-1", "-0.5", "0", "0.5", "1"]


def test_a_picture_survives_as_png() -> None:
    grey = np.random.default_rng(0).permutation(np.linspace(0, 1, 35)).reshape(5, 7)
    data = base64.b64decode(svg.png(grey).removeprefix("data:image/png;base64,"))
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length : at + 12 + length])[0] == zlib.crc32(kind + body)
        chunks[kind] = body
        at += 12 + length
    assert struct.unpack(">II", chunks[b"IHDR"][:8]) == (7, 5)
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(5, -1)
    assert (rows[:, 0] == 0).all() and rows.shape[1] == 1 + 3 * 7
    brightness = rows[:, 1:].reshape(5, 7, 3).astype(float).sum(2)
    assert (np.argsort(brightness.ravel()) == np.argsort(grey.ravel())).all()
