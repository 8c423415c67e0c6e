"""Charts as SVG, rendered on the server so that pages need no script. No Django here.

The style sheet gives the colours, by class, so that a chart has the page's light or
dark theme. For readers who cannot see it, the page has the same numbers as a table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby

WIDTH, HEIGHT = 720, 240
#: The width of a chart that has a row of its own.
WIDE = 1480
LEFT, RIGHT, TOP, BOTTOM = 80, 12, 12, 34
#: The width reserved for each label of the horizontal axis.
_LABEL_WIDTH = 80


#: The values of each series by its name, one value per label; the CSS class of a series
#: is `series-<name>`.
Series = Mapping[str, Sequence[float | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """The vertical axis: its title, and how its values are formatted.

    `base` 10 gives ticks at multiples of 1, 2 or 5 times a power of ten, `base` 2, for
    bytes, at multiples of a power of two. Ticks are at least `least_step` apart: 1 for
    counts. `width` is the width of the whole chart.
    """

    title: str
    format_value: Callable[[float], str]
    base: int = 10
    least_step: float = 0
    width: int = WIDTH


def stacked_bars(name: str, labels: Sequence[str], series: Series, axis: Axis) -> str:
    """Return a bar for each label, with the series stacked, the first at the bottom."""
    totals = [sum(v[i] or 0 for v in series.values()) for i in range(len(labels))]
    frame = _Frame(name, labels, series, axis, max(totals, default=0))
    gap = frame.band_width * (0.25 if frame.band_width > 6 else 0.08)
    shapes = []
    for i in range(len(labels)):
        top = 0.0
        for style, values in series.items():
            if value := values[i]:
                bottom = frame.y(top)
                top += value
                # A single failure among thousands stays visible.
                height = max(bottom - frame.y(top), 1.5)
                shapes.append(
                    f'<rect class="series-{style}" x="{frame.x(i) + gap / 2:g}"'
                    f' y="{bottom - height:g}" width="{frame.band_width - gap:g}"'
                    f' height="{height:g}"/>'
                )
    return frame.svg("".join(shapes))


def lines(name: str, labels: Sequence[str], series: Series, axis: Axis) -> str:
    """Return a line for each series, interrupted at labels without a value."""
    known = [v for values in series.values() for v in values if v is not None]
    frame = _Frame(name, labels, series, axis, max(known, default=0))
    shapes = []
    for style, values in series.items():
        for has_value, run in groupby(enumerate(values), lambda p: p[1] is not None):
            if not has_value:
                continue
            points = [(frame.x(i + 0.5), frame.y(v or 0)) for i, v in run]
            path = "L".join(f"{x:g} {y:g}" for x, y in points)
            shapes.append(f'<path class="line series-{style}" d="M{path}"/>')
            if len(points) == 1 or len(labels) <= 48:
                shapes += [
                    f'<circle class="dot series-{style}" cx="{x:g}" cy="{y:g}" r="2.5"/>'
                    for x, y in points
                ]
    return frame.svg("".join(shapes))


def ticks(highest: float, base: int = 10, least_step: float = 0) -> list[float]:
    """Return round values from 0 to at least `highest`."""
    if highest <= 0:
        return [0, 1]
    rough = highest / 4
    if base == 10:
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
    else:
        step = 2.0 ** math.ceil(math.log2(rough))
    step = max(step, least_step)
    count = math.ceil(highest / step - 1e-9)
    return [i * step for i in range(count + 1)]


class _Frame:
    """The axes of a chart, the coordinates of a value, and the values as tooltips."""

    def __init__(
        self,
        name: str,
        labels: Sequence[str],
        series: Series,
        axis: Axis,
        highest: float,
    ) -> None:
        self.name, self.labels, self.series, self.axis = name, labels, series, axis
        self.ticks = ticks(highest, axis.base, axis.least_step)
        #: The width of the band of one label on the horizontal axis.
        self.band_width = (axis.width - LEFT - RIGHT) / max(len(labels), 1)

    def x(self, index: float) -> float:
        """Return where the band of a label begins; `index + 0.5` is its middle."""
        return LEFT + index * self.band_width

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - value / self.ticks[-1] * (HEIGHT - TOP - BOTTOM)

    def svg(self, shapes: str) -> str:
        return (
            f'<svg class="chart" viewBox="0 0 {self.axis.width} {HEIGHT}" role="img"'
            f' aria-label="{escape(self.name)}">'
            f"{self._y_axis()}{self._x_axis()}{shapes}{self._tooltips()}</svg>"
        )

    def _y_axis(self) -> str:
        grid = "".join(
            f'<line class="grid" x1="{LEFT}" x2="{self.axis.width - RIGHT}"'
            f' y1="{self.y(t):g}" y2="{self.y(t):g}"/>'
            f'<text class="tick" x="{LEFT - 6}" y="{self.y(t) + 4:g}"'
            f' text-anchor="end">{escape(self.axis.format_value(t))}</text>'
            for t in self.ticks
        )
        middle = (HEIGHT - BOTTOM + TOP) / 2
        return (
            f'{grid}<text class="axis" transform="translate(12 {middle:g}) rotate(-90)"'
            f' text-anchor="middle">{escape(self.axis.title)}</text>'
        )

    def _x_axis(self) -> str:
        """Return as many labels as fit, evenly spaced."""
        step = max(1, math.ceil(len(self.labels) * _LABEL_WIDTH / self.axis.width))
        bottom = HEIGHT - BOTTOM
        marks = []
        for i in range(0, len(self.labels), step):
            x = self.x(i + 0.5)
            marks.append(
                f'<line class="grid" x1="{x:g}" x2="{x:g}" y1="{bottom}"'
                f' y2="{bottom + 4}"/><text class="tick" x="{x:g}" y="{bottom + 18}"'
                f' text-anchor="middle">{escape(self.labels[i])}</text>'
            )
        return "".join(marks)

    def _tooltips(self) -> str:
        tooltips = []
        for i, label in enumerate(self.labels):
            words = ", ".join(
                f"{name} {self.axis.format_value(value)}"
                for name, values in self.series.items()
                if (value := values[i])
            )
            if words:
                tooltips.append(
                    f'<rect class="hover" x="{self.x(i):g}" y="{TOP}"'
                    f' width="{self.band_width:g}" height="{HEIGHT - TOP - BOTTOM}">'
                    f"<title>{escape(f'{label}: {words}')}</title></rect>"
                )
        return "".join(tooltips)
