from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mirrorsite.admin.date_hierarchy import (
    containing,
    following,
    name,
    start_of,
    subdivisions,
)


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


@pytest.mark.parametrize(
    ("text", "words", "start", "end"),
    [
        ("2026", "2026", at(2026, 1, 1), at(2027, 1, 1)),
        ("2026-12", "December 2026", at(2026, 12, 1), at(2027, 1, 1)),
        ("2024-02-29", "29 February 2024", at(2024, 2, 29), at(2024, 3, 1)),
        ("2026-11-23T23", "23 November 2026, 23:00", at(2026, 11, 23, 23), at(2026, 11, 24)),
    ],
)  # fmt: skip
def test_period(text, words, start, end):
    assert name(text) == words
    assert (start_of(text), start_of(following(text))) == (start, end)


@pytest.mark.parametrize(
    "text",
    ["", "26", "2026-13", "2026-02-30", "2026-11-23T24", "0000", "2026-11-23T18:00",
     "2026-W01-1", "２０２６"],
)  # fmt: skip
def test_period__refused(text):
    with pytest.raises(ValueError, match=r"."):
        start_of(text)


def test_period__before_the_year_1000():
    assert (start_of("0999"), following("0998")) == (at(999, 1, 1), "0999")


def test_containing():
    assert containing("2026-11-23T18") == ["2026", "2026-11", "2026-11-23"]


@pytest.mark.parametrize(
    ("period", "parts"),
    [
        ("", ["2025", "2026"]),
        ("2025", ["2025-11", "2025-12"]),
        ("2025-11", ["2025-11-30"]),
        ("2026-01-01", ["2026-01-01T00", "2026-01-01T01"]),
        ("2026-01-01T01", []),
        ("2024", []),
        ("2027", []),
    ],
)
def test_subdivisions__of_what_there_is(period, parts):
    first, last = at(2025, 11, 30, 5, 30), at(2026, 1, 1, 1, 59)
    assert subdivisions(period, first, last) == parts


def test_subdivisions__the_only_year_and_month_leave_no_choice():
    first, last = at(2026, 11, 1), at(2026, 11, 2, 0, 0, 1)
    assert subdivisions("", first, last) == ["2026-11-01", "2026-11-02"]
