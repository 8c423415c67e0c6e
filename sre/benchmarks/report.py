"""What a scenario measured: tables of medians with their spread, and budgets."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from sre.benchmarks.wrk import Measurement


@dataclass
class Table:
    """Samples of every round, by row; a column's name has its unit."""

    title: str
    columns: tuple[str, ...]
    samples: dict[str, list[tuple[float, ...]]] = field(default_factory=dict)
    #: Rows whose figures do not count, with the reason.
    disqualified: dict[str, str] = field(default_factory=dict)

    def add(self, row: str, *figures: float) -> None:
        """Add one round's figures."""
        self.samples.setdefault(row, []).append(figures)

    def add_measured(self, row: str, measured: Measurement) -> None:
        """Add what wrk measured in a round; errors disqualify the row."""
        self.add(row, *measured.figures)
        if measured.errors:
            self.disqualified[row] = f"{measured.errors} errors"

    def column(self, row: str, name: str) -> list[float]:
        number = self.columns.index(name)
        return [figures[number] for figures in self.samples[row]]

    def ratio(self, column: str, ours: str, theirs: str) -> float | None:
        """Return the median of the rounds' ratios; None if one was not measured or does not count."""
        names = {ours, theirs}
        if names & self.disqualified.keys() or not names <= self.samples.keys():
            return None
        pairs = zip(self.column(ours, column), self.column(theirs, column), strict=True)
        return statistics.median(a / b for a, b in pairs)

    def markdown(self) -> str:
        lines = [
            f"| {' | '.join((self.title, *self.columns))} |",
            f"| --- |{' ---: |' * len(self.columns)}",
        ]
        for row in self.samples:
            if reason := self.disqualified.get(row):
                cells = [f"disqualified: {reason}", *[""] * (len(self.columns) - 1)]
            else:
                cells = [_spread(self.column(row, name)) for name in self.columns]
            lines.append(f"| {' | '.join((row, *cells))} |")
        return "\n".join(lines)


@dataclass(frozen=True)
class Budget:
    """A limit of the project for something measured; None where it was not."""

    what: str
    measured: float | None
    limit: float
    is_maximum: bool = False

    def markdown(self) -> str:
        bound = "at most" if self.is_maximum else "at least"
        measured, verdict = "", "not measured"
        if self.measured is not None:
            excess = self.measured - self.limit
            is_met = excess <= 0 if self.is_maximum else excess >= 0
            measured, verdict = figure(self.measured), "met" if is_met else "NOT MET"
        return (
            f"| {self.what} | {bound} {figure(self.limit)} | {measured} | {verdict} |"
        )


@dataclass
class Report:
    """All that one scenario found."""

    tables: list[Table]
    budgets: Sequence[Budget] = ()

    def markdown(self) -> str:
        parts = [table.markdown() for table in self.tables]
        if self.budgets:
            head = "| budget | limit | measured | |\n| --- | ---: | ---: | --- |"
            parts.append("\n".join((head, *(b.markdown() for b in self.budgets))))
        return "\n\n".join(parts)


def figure(value: float) -> str:
    """Return a number with about three digits."""
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3f}"


def _spread(values: list[float]) -> str:
    """Return the median, and the least and most of several."""
    median = figure(statistics.median(values))
    ends = figure(min(values)), figure(max(values))
    return median if ends[0] == ends[1] else f"{median} ({ends[0]}–{ends[1]})"
