"""Charts as SVG, rendered on the server so that pages need no script. No Django here.

Colours come from classes of the style sheet, so a chart follows the page's light or
dark theme. For readers who cannot see it, the page shows the same numbers as a table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 720, 240
#: The width of a chart that has a row of its own.
WIDE = 1480
LEFT, RIGHT, TOP, BOTTOM = 80, 12, 12, 34
#: The room of one label of the horizontal axis.
_LABEL_WIDTH = 80

Values = Sequence[float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One colour of a chart: its name, its style class, and a value for each slot."""

    name: str
    style: str
    values: Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """The vertical axis: its title, and how its values are formatted.

    `base` 10 gives ticks of 1, 2 or 5 times a power of ten, 2 powers of two (bytes).
    `width` is that of the whole chart.
    """

    title: str
    write: Callable[[float], str]
    base: int = 10
    width: int = WIDTH


def stacked_bars(
    name: str, labels: Sequence[str], series: Sequence[Series], axis: Axis
) -> str:
    """Return bars with the series on top of each other, the first at the bottom."""
    totals = [sum(s.values[i] or 0 for s in series) for i in range(len(labels))]
    frame = _Frame(name, labels, axis, max(totals, default=0))
    gap = 0.25 if frame.slot > 6 else 0.08
    shapes = []
    for i, label in enumerate(labels):
        top = 0.0
        parts = []
        for s in series:
            value = s.values[i] or 0
            if not value:
                continue
            y1, y2 = frame.y(top + value), frame.y(top)
            # A single failure among thousands stays visible.
            height = max(y2 - y1, 1.5)
            parts.append(
                f'<rect class="{s.style}" x="{_n(frame.x(i) + frame.slot * gap / 2)}"'
                f' y="{_n(y2 - height)}" width="{_n(frame.slot * (1 - gap))}"'
                f' height="{_n(height)}"/>'
            )
            top += value
        if parts:
            words = ", ".join(
                f"{axis.write(s.values[i] or 0)} {s.name}"
                for s in series
                if s.values[i]
            )
            shapes.append(
                f"<g><title>{escape(f'{label}: {words}')}</title>{''.join(parts)}</g>"
            )
    return frame.svg("".join(shapes))


def lines(
    name: str, labels: Sequence[str], series: Sequence[Series], axis: Axis
) -> str:
    """Return a line for each series; a slot without a value interrupts it."""
    values = [v for s in series for v in s.values if v is not None]
    frame = _Frame(name, labels, axis, max(values, default=0))
    shapes = []
    for s in series:
        for run in _runs(s.values):
            points = [(frame.x(i + 0.5), frame.y(v)) for i, v in run]
            path = "L".join(f"{_n(x)} {_n(y)}" for x, y in points)
            shapes.append(f'<path class="line {s.style}" d="M{path}"/>')
            if len(points) == 1 or len(labels) <= 48:
                shapes += [
                    f'<circle class="dot {s.style}" cx="{_n(x)}" cy="{_n(y)}" r="2.5"/>'
                    for x, y in points
                ]
    for i, label in enumerate(labels):
        known = [(s, s.values[i]) for s in series]
        words = ", ".join(
            f"{s.name} {axis.write(v)}" for s, v in known if v is not None
        )
        if words:
            shapes.append(
                f'<rect class="hover" x="{_n(frame.x(i))}" y="{TOP}"'
                f' width="{_n(frame.slot)}" height="{HEIGHT - TOP - BOTTOM}">'
                f"<title>{escape(f'{label}: {words}')}</title></rect>"
            )
    return frame.svg("".join(shapes))


def ticks(highest: float, base: int = 10, wanted: int = 4) -> list[float]:
    """Return round values from 0 to at least `highest`."""
    if highest <= 0:
        return [0, 1]
    rough = highest / wanted
    if base == 10:
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
    else:
        step = 2.0 ** max(0, math.ceil(math.log2(rough)))
    count = math.ceil(highest / step - 1e-9)
    return [i * step for i in range(count + 1)]


class _Frame:
    """The axes of a chart, and the coordinates of a value."""

    def __init__(
        self, name: str, labels: Sequence[str], axis: Axis, highest: float
    ) -> None:
        self.name, self.labels, self.axis = name, labels, axis
        self.ticks = ticks(highest, axis.base)
        self.slot = (axis.width - LEFT - RIGHT) / max(len(labels), 1)

    def x(self, slot: float) -> float:
        return LEFT + slot * self.slot

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - value / self.ticks[-1] * (HEIGHT - TOP - BOTTOM)

    def svg(self, shapes: str) -> str:
        grid = "".join(
            f'<line class="grid" x1="{LEFT}" x2="{self.axis.width - RIGHT}"'
            f' y1="{_n(self.y(t))}" y2="{_n(self.y(t))}"/>'
            f'<text class="tick" x="{LEFT - 6}" y="{_n(self.y(t) + 4)}"'
            f' text-anchor="end">{escape(self.axis.write(t))}</text>'
            for t in self.ticks
        )
        middle = (HEIGHT - BOTTOM + TOP) / 2
        title = (
            f'<text class="axis" transform="translate(12 {_n(middle)}) rotate(-90)"'
            f' text-anchor="middle">{escape(self.axis.title)}</text>'
        )
        return (
            f'<svg class="chart" viewBox="0 0 {self.axis.width} {HEIGHT}" role="img"'
            f' aria-label="{escape(self.name)}">'
            f"{grid}{title}{self._x_axis()}{shapes}</svg>"
        )

    def _x_axis(self) -> str:
        """Return as many labels of the horizontal axis as fit, evenly spaced."""
        step = max(1, math.ceil(len(self.labels) * _LABEL_WIDTH / self.axis.width))
        marks = []
        for i in range(0, len(self.labels), step):
            x = _n(self.x(i + 0.5))
            marks.append(
                f'<line class="grid" x1="{x}" x2="{x}" y1="{HEIGHT - BOTTOM}"'
                f' y2="{HEIGHT - BOTTOM + 4}"/><text class="tick" x="{x}"'
                f' y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">'
                f"{escape(self.labels[i])}</text>"
            )
        return "".join(marks)


def _runs(values: Values) -> list[list[tuple[int, float]]]:
    """Return the stretches without a gap, each value with its slot."""
    runs: list[list[tuple[int, float]]] = []
    before: float | None = None
    for i, value in enumerate(values):
        if value is not None:
            if before is None:
                runs.append([])
            runs[-1].append((i, value))
        before = value
    return runs


def _n(number: float) -> str:
    """Return a coordinate as short as it can be."""
    return f"{number:.2f}".rstrip("0").rstrip(".")
