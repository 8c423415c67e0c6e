from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from django.template.loader import render_to_string

from uploads.charts import Chart, Lines, StackedBars, round_ticks

AXIS: dict[str, Any] = {"unit": "uploads", "format_value": "{:g}".format}


def draw(chart: Chart) -> ET.Element:
    # Our own text, drawn here.
    return ET.fromstring(render_to_string("admin/chart.svg", {"chart": chart}))  # noqa: S314


@pytest.mark.parametrize(
    ("highest", "base", "expected"),
    [
        (0, 10, [0, 1]),
        (0.003, 10, [0, 1]),
        (2, 10, [0, 1, 2]),
        (7, 10, [0, 2, 4, 6, 8]),
        (100, 10, [0, 50, 100]),
        (101, 10, [0, 50, 100, 150]),
        (3, 2, [0, 1, 2, 3]),
        (3 * 1024**2, 2, [0, 1024**2, 2 * 1024**2, 3 * 1024**2]),
    ],
)
def test_round_ticks(highest, base, expected):
    assert round_ticks(highest, base) == pytest.approx(expected)


def test_stacked_bars__heights_add_up():
    series = {"stored": [6, 0], "failed": [2, 0]}
    svg = draw(StackedBars('A "<name>"', ["10:00", "11:00"], series, **AXIS))
    assert svg.get("aria-label") == 'A "<name>"'
    bars = [bar for bar in svg.findall("rect") if bar.get("class") != "hover"]
    assert [bar.get("class") for bar in bars] == ["series-stored", "series-failed"]
    heights = [float(bar.get("height", "")) for bar in bars]
    assert heights[0] == pytest.approx(3 * heights[1], rel=0.01)
    assert float(bars[1].get("y", "")) + heights[1] == pytest.approx(
        float(bars[0].get("y", "")), abs=0.02
    )
    titles = [title.text for title in svg.findall("rect/title")]
    assert titles == ["10:00: stored 6, failed 2"]
    assert {"uploads", "10:00"} <= {text.text for text in svg.findall("text")}


def test_stacked_bars__a_single_failure_is_seen():
    chart = StackedBars("n", ["x"], {"stored": [1_000_000], "failed": [1]}, **AXIS)
    assert [height for *_, height in chart.bars()][1] == 1.5


def test_lines__a_gap_interrupts():
    svg = draw(Lines("n", list("abcd"), {"p50": [1, 2, None, 4]}, **AXIS))
    paths = [path.get("d", "") for path in svg.findall("path")]
    assert [len(re.findall("[ML]", path)) for path in paths] == [2, 1]


@pytest.mark.parametrize("kind", [StackedBars, Lines])
def test_no_values_at_all(kind):
    draw(kind("n", [], {}, **AXIS))
    chart = kind("n", ["x"], {"s": [None]}, **AXIS)
    draw(chart)
    assert list(chart.rows()) == [("x", "—")]
