from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mirrorsite.admin.date_hierarchy import parse, subdivisions


@pytest.mark.parametrize(
    ("text", "words", "start", "end"),
    [
        ("2026", "2026", datetime(2026, 1, 1), datetime(2027, 1, 1)),  # noqa: DTZ001
        ("2026-12", "December 2026", datetime(2026, 12, 1), datetime(2027, 1, 1)),  # noqa: DTZ001
        ("2024-02-29", "29 February 2024", datetime(2024, 2, 29), datetime(2024, 3, 1)),  # noqa: DTZ001
        ("2026-11-23T23", "23 November 2026, 23:00", datetime(2026, 11, 23, 23), datetime(2026, 11, 24)),  # noqa: DTZ001
    ],
)  # fmt: skip
def test_parse(text, words, start, end):
    period = parse(text)
    assert str(period) == text
    assert period.full_name() == words
    assert period.bounds() == (start.replace(tzinfo=UTC), end.replace(tzinfo=UTC))


@pytest.mark.parametrize(
    "text",
    ["", "26", "2026-13", "2026-02-30", "2026-11-23T24", "0000", "9999", "2026-11-23T18:00", "２０２６"],
)  # fmt: skip
def test_parse__refused(text):
    with pytest.raises(ValueError, match=r"."):
        parse(text)


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


def names(period: str | None, first: datetime, last: datetime) -> list[str]:
    return [
        str(p) for p in subdivisions(parse(period) if period else None, first, last)
    ]


def test_below__years_months_days_hours():
    first, last = at(2025, 11, 30, 5, 30), at(2026, 1, 1, 1, 59)
    assert names(None, first, last) == ["2025", "2026"]
    assert names("2025", first, last) == ["2025-11", "2025-12"]
    assert names("2025-11", first, last) == ["2025-11-30"]
    assert names("2026-01-01", first, last) == ["2026-01-01T00", "2026-01-01T01"]
    assert names("2026-01-01T01", first, last) == []
    assert names("2027", first, last) == []


def test_below__steps_over_what_leaves_no_choice():
    assert names(None, at(2026, 11, 1), at(2026, 11, 2, 0, 0, 1)) == [
        "2026-11-01",
        "2026-11-02",
    ]


@pytest.mark.parametrize("text", ["0999", "0001-02", "0999-12-31", "2026-11-23T18"])
def test_text__is_what_is_parsed(text):
    assert str(parse(text)) == text
