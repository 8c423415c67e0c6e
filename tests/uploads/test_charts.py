from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from uploads.charts import Axis, lines, stacked_bars, ticks

AXIS = Axis(title="uploads", format_value=lambda v: f"{v:g}")


def parse(svg: str) -> ET.Element:
    # Our own text, drawn a line above.
    return ET.fromstring(svg)  # noqa: S314


@pytest.mark.parametrize(
    ("highest", "base", "least_step", "expected"),
    [
        (0, 10, 0, [0, 1]),
        (1, 10, 0, [0, 0.5, 1]),
        (2, 10, 1, [0, 1, 2]),
        (7, 10, 1, [0, 2, 4, 6, 8]),
        (100, 10, 0, [0, 50, 100]),
        (101, 10, 0, [0, 50, 100, 150]),
        (0.003, 10, 0, [0, 0.001, 0.002, 0.003]),
        (3, 2, 1, [0, 1, 2, 3]),
        (3 * 1024**2, 2, 1, [0, 1024**2, 2 * 1024**2, 3 * 1024**2]),
    ],
)
def test_ticks(highest, base, least_step, expected):
    assert ticks(highest, base, least_step) == pytest.approx(expected)


def test_stacked_bars__heights_add_up():
    series = {"stored": [6, 0], "failed": [2, 0]}
    svg = parse(stacked_bars("A <name>", ["10:00", "11:00"], series, AXIS))
    assert svg.get("aria-label") == "A <name>"
    bars = [bar for bar in svg.findall("rect") if bar.get("class") != "hover"]
    heights = [float(bar.get("height", "")) for bar in bars]
    assert heights[0] == pytest.approx(3 * heights[1], rel=0.01)
    assert float(bars[1].get("y", "")) + heights[1] == pytest.approx(
        float(bars[0].get("y", "")), abs=0.02
    )
    titles = [title.text for title in svg.findall("rect/title")]
    assert titles == ["10:00: stored 6, failed 2"]
    assert {"uploads", "10:00"} <= {text.text for text in svg.findall("text")}


def test_stacked_bars__a_single_failure_is_seen():
    svg = stacked_bars("n", ["x"], {"stored": [1_000_000], "failed": [1]}, AXIS)
    assert 'height="1.5"' in svg


def test_lines__a_gap_interrupts():
    svg = parse(lines("n", list("abcd"), {"p50": [1, 2, None, 4]}, AXIS))
    paths = [path.get("d", "") for path in svg.findall("path")]
    assert [len(re.findall("[ML]", path)) for path in paths] == [2, 1]


@pytest.mark.parametrize("draw", [stacked_bars, lines])
def test_no_values_at_all(draw):
    parse(draw("n", [], {}, AXIS))
    parse(draw("n", ["x"], {"s": [None]}, AXIS))
