"""Small charts as inline SVG, in the colours of the page's dark or light scheme; images of log-mel as PNG."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Collection, Sequence

import numpy as np

from sed.evaluation.reports.html import escape

# defined in the style of `html`, with --dim, --fg, --good and --bad below
COLOURS = ("var(--a)", "var(--b)", "var(--c)", "var(--d)", "var(--e)", "var(--f)")
WIDTH, LEFT, RIGHT, TOP, BOTTOM = 560, 52, 12, 12, 42  # pixels: width of a chart, and its margins


def colour(index: int) -> str:
    """Return the colour of the n-th series."""
    return COLOURS[index % len(COLOURS)]


def _open(height: float, title: str, width: float = WIDTH) -> str:
    name = escape(title)
    return f'<svg viewBox="0 0 {width} {height:g}" role="img" aria-label="{name}"><title>{name}</title>'


def _text(x: float, y: float, text: object, anchor: str = "middle", css: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{css}">{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, extra: str = 'class="axis"') -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" {extra}/>'


def ticks(low: float, high: float, number: int = 5) -> list[float]:
    """Return round values for an axis.

    Args:
        low: start of the axis.
        high: end of the axis.
        number: largest number of steps between low and high.

    Returns:
        Values from low to high; zero has no sign.
    """
    if not high > low:
        return [low]
    step = 10 ** np.floor(np.log10((high - low) / number))
    step *= next(m for m in (1, 2, 5, 10) if (high - low) / (m * step) <= number)
    first = np.ceil(low / step - 1e-9)
    last = np.floor(high / step + 1e-9)
    return [float(round(i * step, 10)) + 0.0 for i in np.arange(first, last + 1)]


class Axes:
    """Axes of a plot: conversion of data to pixels, ticks and labels.

    x, y: (start, end) of each axis; height: of the chart in pixels, margins included; counts: whether the y axis has
    whole numbers only.
    """

    def __init__(
        self, x: tuple[float, float], y: tuple[float, float], height: float = 300, *, counts: bool = False
    ) -> None:
        self.x, self.y, self.height, self.counts = x, y, height, counts

    def px(self, value: float) -> float:
        """Return the pixel of a value on the x axis."""
        return LEFT + (value - self.x[0]) / (self.x[1] - self.x[0]) * (WIDTH - LEFT - RIGHT)

    def py(self, value: float) -> float:
        """Return the pixel of a value on the y axis."""
        return self.height - BOTTOM - (value - self.y[0]) / (self.y[1] - self.y[0]) * (self.height - TOP - BOTTOM)

    def frame(self, x_label: str, y_label: str) -> str:
        """Draw grid lines, ticks and the labels of both axes."""
        parts = []
        for value in ticks(*self.y):
            if self.counts and value % 1:
                continue
            parts.append(_line(LEFT, self.py(value), WIDTH - RIGHT, self.py(value)))
            parts.append(_text(LEFT - 6, self.py(value) + 4, f"{value:g}", "end", "tick"))
        for value in ticks(*self.x):
            parts.append(_text(self.px(value), self.height - BOTTOM + 16, f"{value:g}", "middle", "tick"))
        parts.append(_text((LEFT + WIDTH - RIGHT) / 2, self.height - 6, x_label))
        middle = (self.height - BOTTOM + TOP) / 2
        parts.append(
            f'<text x="13" y="{middle:.0f}" text-anchor="middle" transform="rotate(-90 13 {middle:.0f})">'
            f"{escape(y_label)}</text>"
        )
        return "".join(parts)


def staircases(
    title: str, curves: Sequence[tuple[str, Sequence[float], Sequence[float], str]], e_max: float, x_label: str
) -> str:
    """Draw PSD-ROCs: each value is held up to the next point, the last one up to e_max.

    Args:
        title: text alternative of the picture.
        curves: (name, x, y, colour) of each: x is effective false positives per hour, y effective TPR. A curve whose
            name ends with `thresholds` was computed at a few thresholds instead of all, and is dashed.
        e_max: end of the x axis.
        x_label: text below the x axis.

    Returns:
        SVG.
    """
    axes = Axes((0, e_max), (0, 1))
    parts = [_open(axes.height, title), axes.frame(x_label, "effective TPR")]
    for name, xs, ys, stroke in curves:
        path: list[str] = []
        last = 0.0
        for x, y in zip(xs, ys, strict=True):
            if x > e_max:
                break
            path.append(f"{'L' if path else 'M'}{axes.px(x):.1f} {axes.py(last):.1f}L{axes.px(x):.1f} {axes.py(y):.1f}")
            last = y
        path.append(f"{'L' if path else 'M'}{axes.px(e_max):.1f} {axes.py(last):.1f}")
        dash = ' stroke-dasharray="5 4"' if name.endswith("thresholds") else ""
        parts.append(
            f'<path d="{"".join(path)}" fill="none" stroke="{stroke}" stroke-width="2"{dash}>'
            f"<title>{escape(name)}</title></path>"
        )
    return "".join(parts) + "</svg>"


def histogram(title: str, values: np.ndarray, limit: float, marks: Sequence[float], x_label: str) -> str:
    """Draw counts of values in 40 bins over -limit .. limit; values outside count in the outer bins.

    Args:
        title: text alternative of the picture.
        values: (n,) in seconds.
        limit: the x axis goes from -limit to limit, in seconds.
        marks: collars in seconds, drawn on both sides of 0; bins beyond the largest have another colour.
        x_label: text below the x axis.

    Returns:
        SVG.
    """
    edges = np.linspace(-limit, limit, 41)
    counts, _ = np.histogram(np.clip(values, -limit, limit), edges)
    axes = Axes((-limit, limit), (0, max(1, int(counts.max()) * 1.05)), 240, counts=True)
    parts = [_open(axes.height, title), axes.frame(x_label, "events")]
    for low, high, count in zip(edges, edges[1:], counts, strict=False):
        inside = abs((low + high) / 2) <= (max(marks) if marks else limit)
        x, y = axes.px(low) + 0.5, axes.py(count)
        parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{axes.px(high) - x - 0.5:.1f}" height="{axes.py(0) - y:.1f}" '
            f'fill="{"var(--a)" if inside else "var(--b)"}"><title>{low:z.2f} to {high:z.2f} s: {count}</title></rect>'
        )
    for mark in marks:
        for at in (-mark, mark):
            stroke = 'stroke="var(--dim)" stroke-dasharray="3 3"'
            parts.append(_line(axes.px(at), TOP, axes.px(at), axes.py(0), stroke))
    return "".join(parts) + "</svg>"


def bars(
    title: str,
    rows: Sequence[tuple[str, Sequence[tuple[float | None, tuple[float, float] | None]]]],
    *,
    factor: int = 1,
    missing: str = "no ground truth",
) -> str:
    """Draw horizontal bars from 0 to 1.

    Args:
        title: text alternative of the picture.
        rows: (name, [(value, interval) for each series]); values are fractions, an interval of None is not drawn.
            Series are bars below each other, one colour for each.
        factor: what values are multiplied with where they are written: 100 for per cent.
        missing: text instead of a bar for a value of None.

    Returns:
        An svg element.
    """
    series = max((len(values) for _, values in rows), default=1)
    bar, gap, left = 11, 10, 190
    digits = 1 if factor == 100 else 2
    height = len(rows) * (series * bar + gap) + 30
    scale = WIDTH - left - 46
    parts = [_open(height, title)]
    for tick in (0, 0.25, 0.5, 0.75, 1):
        parts.append(_line(left + tick * scale, 4, left + tick * scale, height - 22))
        parts.append(_text(left + tick * scale, height - 6, f"{factor * tick:g}", "middle", "tick"))
    y = 4.0
    for name, values in rows:
        shown = name if len(name) <= 26 else name[:25] + "…"
        parts.append(_text(left - 8, y + series * bar / 2 + 4, shown, "end"))
        for index, (value, bounds) in enumerate(values):
            top = y + index * bar
            if value is None:
                parts.append(_text(left + 4, top + bar - 1, missing, "start", "tick"))
                continue
            # half a pixel at least: a value of 0 is seen, and shows its title
            parts.append(
                f'<rect x="{left}" y="{top:.1f}" width="{max(0.5, value * scale):.1f}" height="{bar - 2}" '
                f'fill="{colour(index)}"><title>{escape(name)}: {factor * value:.{digits + 1}f}</title></rect>'
            )
            end = value
            if bounds:
                end = max(value, bounds[1])
                middle = top + (bar - 2) / 2
                extra = 'stroke="var(--fg)" stroke-width="1.3"'
                parts.append(_line(left + bounds[0] * scale, middle, left + bounds[1] * scale, middle, extra))
            parts.append(_text(left + end * scale + 5, top + bar - 2, f"{factor * value:.{digits}f}", "start", "tick"))
        y += series * bar + gap
    return "".join(parts) + "</svg>"


def differences(
    title: str,
    rows: Sequence[tuple[str, float, float, float]],
    *,
    factor: int = 1,
    lower_is_better: Collection[str] = (),
) -> str:
    """Draw differences with their intervals around 0.

    Args:
        title: text alternative of the picture.
        rows: (name, value, low, high), the last two being the ends of the interval.
        factor: what values and intervals are multiplied with: 100 for percentage points.
        lower_is_better: names of the rows in which a negative difference is an improvement.

    Returns:
        An svg element.
    """
    digits = 2 if factor == 100 else 4
    rows = [(name, factor * value, factor * low, factor * high) for name, value, low, high in rows]
    limit = max([abs(v) for _, *row in rows for v in row] + [0.01 * factor]) * 1.1
    step, left = 26, 190
    height = len(rows) * step + 40
    scale = (WIDTH - left - 20) / (2 * limit)
    zero = left + limit * scale
    parts = [_open(height, title)]
    for value in ticks(-limit, limit, 5):
        parts.append(_line(zero + value * scale, 4, zero + value * scale, height - 26))
        parts.append(_text(zero + value * scale, height - 10, f"{value:+g}" if value else "0", "middle", "tick"))
    for index, (name, value, low, high) in enumerate(rows):
        y = index * step + step / 2 + 4
        above, below = ("--bad", "--good") if name in lower_is_better else ("--good", "--bad")
        ink = f"var({above})" if low > 0 else f"var({below})" if high < 0 else "var(--dim)"
        parts.append(_text(left - 8, y + 4, name if len(name) <= 26 else name[:25] + "…", "end"))
        parts.append(_line(zero + low * scale, y, zero + high * scale, y, f'stroke="{ink}" stroke-width="2.5"'))
        parts.append(
            f'<circle cx="{zero + value * scale:.1f}" cy="{y:.1f}" r="5" fill="{ink}">'
            f"<title>{escape(name)}: {value:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]</title></circle>"
        )
    return "".join(parts) + "</svg>"


def png(grey: np.ndarray) -> str:
    """Return values (rows, columns) from 0 to 1 as a data URL of an 8-bit PNG on a dark-to-bright scale."""
    # chosen by hand, each brighter than the one before; linear between them
    stops = np.array([[13, 8, 35], [80, 18, 99], [177, 50, 90], [243, 120, 60], [252, 230, 150]], float)
    x = np.clip(grey, 0, 1) * (len(stops) - 1)
    low = np.minimum(x.astype(int), len(stops) - 2)
    rgb = (stops[low] + (stops[low + 1] - stops[low]) * (x - low)[..., None]).astype(np.uint8)
    rows, columns = grey.shape
    # every row begins with the number of its filter: 0 for none
    raw = np.concatenate([np.zeros((rows, 1), np.uint8), rgb.reshape(rows, columns * 3)], axis=1).tobytes()

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", columns, rows, 8, 2, 0, 0, 0)  # 8 bits per colour, RGB
    file = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b"")
    return "data:image/png;base64," + base64.b64encode(file).decode()
