"""Medians and spread of several rounds, as Markdown and as JSON. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sre.lib.benching.load import Measurement

#: Results by route, then contender: a measurement for each round.
Results = Mapping[str, Mapping[str, Sequence[Measurement]]]
FIGURES = ("rate", "p50", "p99", "cpu", "memory_mib")


def summary(results: Results) -> dict[str, Any]:
    """Return median, least and most of every figure, and the sum of errors."""
    return {
        route: {
            name: {
                figure: _spread([asdict(m)[figure] for m in measurements])
                for figure in FIGURES
            }
            | {"errors": sum(m.errors for m in measurements)}
            for name, measurements in contenders.items()
        }
        for route, contenders in results.items()
    }


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {
        "median": statistics.median(values),
        "least": min(values),
        "most": max(values),
    }


def markdown(results: Results) -> str:
    """Return one table a route; who had errors is disqualified, and says so."""
    parts = []
    for route, contenders in summary(results).items():
        lines = [
            f"| {route} | requests/s (least–most) | p50 ms | p99 ms | CPU ms/request"
            " | MiB/worker | errors |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        ]
        for name, found in contenders.items():
            lines.append(f"| {name} | {' | '.join(_cells(found))} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _cells(found: Mapping[str, Any]) -> list[str]:
    if found["errors"]:
        return ["disqualified", "", "", "", "", f"{found['errors']:,}"]
    rate = found["rate"]
    spread = f"{rate['least']:,.0f}–{rate['most']:,.0f}"
    is_raw = not found["memory_mib"]["median"]
    return [
        f"{rate['median']:,.0f} ({spread})",
        f"{found['p50']['median']:.1f}",
        f"{found['p99']['median']:.1f}",
        "" if is_raw else f"{found['cpu']['median']:.2f}",
        "" if is_raw else f"{found['memory_mib']['median']:.0f}",
        "0",
    ]


def ratio(results: Results, route: str, ours: str, theirs: str) -> float | None:
    """Return how many times their rate ours is, median over the rounds' own ratios."""
    mine, other = results[route].get(ours), results[route].get(theirs)
    if not mine or not other or any(m.errors for m in (*mine, *other)):
        return None
    return statistics.median(
        a.rate / b.rate for a, b in zip(mine, other, strict=True) if b.rate
    )


def budgets(results: Results, rules: Sequence[tuple[str, str, str, float]]) -> str:
    """Return a table of (route, ours, theirs, least ratio) with what was measured."""
    lines = [
        "| budget | at least | measured | |",
        "| --- | ---: | ---: | --- |",
    ]
    for route, ours, theirs, least in rules:
        found = ratio(results, route, ours, theirs)
        shown = "not measured" if found is None else f"{found:.2f} ×"
        verdict = "" if found is None else "met" if found >= least else "NOT MET"
        lines.append(
            f"| {route}: {ours} / {theirs} | {least:.2f} × | {shown} | {verdict} |"
        )
    return "\n".join(lines)
