"""Charts as coordinates, which `admin/chart.svg` draws, so that pages need no script.

The style sheet gives the colours, by class, so that a chart has the page's light or
dark theme. For readers who cannot see it, the page has the same numbers as a table.
No Django here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cached_property

#: The size of the area within the axes, whose origin is its upper left corner.
WIDTH, HEIGHT = 628, 194
#: The width of a chart that has a row of its own.
WIDE = 1388
#: The width reserved for each label of the horizontal axis.
_LABEL_WIDTH = 70

#: The values of each series by its name, one value per label; the CSS class of a series
#: is `series-<name>`.
Series = Mapping[str, Sequence[float | None]]


@dataclass
class Chart:
    """The axes of a chart, the coordinates of a value, and the values as text.

    `base` 10 gives ticks at multiples of 1, 2 or 5 times a power of ten, `base` 2, for
    bytes, at multiples of a power of two.
    """

    name: str
    labels: Sequence[str]
    series: Series
    _: KW_ONLY
    unit: str
    format_value: Callable[[float], str]
    base: int = 10
    width: int = WIDTH

    @cached_property
    def ticks(self) -> list[float]:
        return round_ticks(self.highest(), self.base)

    @property
    def band_width(self) -> float:
        """The width of the band of one label on the horizontal axis."""
        return self.width / max(len(self.labels), 1)

    def highest(self) -> float:
        """Return the value that the vertical axis has to reach."""
        raise NotImplementedError

    def x(self, index: float) -> float:
        """Return where the band of a label begins; `index + 0.5` is its middle."""
        return round(index * self.band_width, 2)

    def y(self, value: float) -> float:
        return round(HEIGHT * (1 - value / self.ticks[-1]), 2)

    def y_axis(self) -> list[tuple[float, str]]:
        return [(self.y(tick), self.format_value(tick)) for tick in self.ticks]

    def x_axis(self) -> list[tuple[float, str]]:
        """Return as many labels as fit, evenly spaced."""
        step = max(1, math.ceil(len(self.labels) * _LABEL_WIDTH / self.width))
        shown = range(0, len(self.labels), step)
        return [(self.x(i + 0.5), self.labels[i]) for i in shown]

    def tooltips(self) -> Iterator[tuple[float, str]]:
        for i, label in enumerate(self.labels):
            words = ", ".join(
                f"{name} {self.format_value(value)}"
                for name, values in self.series.items()
                if (value := values[i])
            )
            if words:
                yield self.x(i), f"{label}: {words}"

    def rows(self) -> Iterator[tuple[str, ...]]:
        """Yield each label and its values, as text."""
        for label, *values in zip(self.labels, *self.series.values(), strict=True):
            yield label, *("—" if v is None else self.format_value(v) for v in values)


class StackedBars(Chart):
    """A bar for each label, with the series stacked, the first at the bottom."""

    def highest(self) -> float:
        columns = zip(*self.series.values(), strict=True)
        return max((sum(v or 0 for v in values) for values in columns), default=0)

    def bars(self) -> Iterator[tuple[str, float, float, float, float]]:
        """Yield a name, x, y, width and height for each value."""
        gap = 0.25 if self.band_width > 6 else 0.08
        width = round(self.band_width * (1 - gap), 2)
        for i in range(len(self.labels)):
            stacked = 0.0
            for name, values in self.series.items():
                if value := values[i]:
                    bottom = self.y(stacked)
                    stacked += value
                    # A single failure among thousands stays visible.
                    height = round(max(bottom - self.y(stacked), 1.5), 2)
                    y = round(bottom - height, 2)
                    yield name, self.x(i + gap / 2), y, width, height


class Lines(Chart):
    """A line for each series, interrupted at labels without a value."""

    def highest(self) -> float:
        return max((v or 0 for vs in self.series.values() for v in vs), default=0)

    def lines(self) -> Iterator[tuple[str, list[tuple[float, float]]]]:
        """Yield a name and the points of each uninterrupted line."""
        for name, values in self.series.items():
            points: list[tuple[float, float]] = []
            for i, value in enumerate(values):
                if value is not None:
                    points.append((self.x(i + 0.5), self.y(value)))
                elif points:
                    yield name, points
                    points = []
            if points:
                yield name, points


def round_ticks(highest: float, base: int = 10) -> list[float]:
    """Return round values, 1 or more apart, from 0 to at least `highest`."""
    if highest <= 0:
        return [0, 1]
    rough = highest / 4
    if base == 10:
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
    else:
        step = 2.0 ** math.ceil(math.log2(rough))
    step = max(step, 1)
    # A rounding error must not add a tick: 300.00000000000006 needs none at 400.
    count = math.ceil(highest / step - 1e-9)
    return [i * step for i in range(count + 1)]
