from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mirrorsite.admin.date_hierarchy import parse, subdivisions


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


def names(period: str | None, first: datetime, last: datetime) -> list[str]:
    return [
        str(p) for p in subdivisions(parse(period) if period else None, first, last)
    ]


@pytest.mark.parametrize(
    ("text", "words", "start", "following"),
    [
        ("2026", "2026", at(2026, 1, 1), at(2027, 1, 1)),
        ("2026-12", "December 2026", at(2026, 12, 1), at(2027, 1, 1)),
        ("2024-02-29", "29 February 2024", at(2024, 2, 29), at(2024, 3, 1)),
        ("2026-11-23T23", "23 November 2026, 23:00", at(2026, 11, 23, 23), at(2026, 11, 24)),
    ],
)  # fmt: skip
def test_parse(text, words, start, following):
    period = parse(text)
    assert (str(period), period.full_name()) == (text, words)
    assert (period.start, period.following().start) == (start, following)


@pytest.mark.parametrize(
    "text",
    ["", "26", "2026-13", "2026-02-30", "2026-11-23T24", "0000", "2026-11-23T18:00",
     "2026-W01-1", "２０２６"],
)  # fmt: skip
def test_parse__refused(text):
    with pytest.raises(ValueError, match=r"."):
        parse(text)


@pytest.mark.parametrize("text", ["0999", "0001-02", "0999-12-31", "2026-11-23T18"])
def test_text__is_what_is_parsed(text):
    assert str(parse(text)) == text


def test_subdivisions__of_what_there_is():
    first, last = at(2025, 11, 30, 5, 30), at(2026, 1, 1, 1, 59)
    assert names(None, first, last) == ["2025", "2026"]
    assert names("2025", first, last) == ["2025-11", "2025-12"]
    assert names("2025-11", first, last) == ["2025-11-30"]
    assert names("2026-01-01", first, last) == ["2026-01-01T00", "2026-01-01T01"]
    assert names("2026-01-01T01", first, last) == []
    assert names("2027", first, last) == []
    # The only year and the only month leave no choice.
    days = ["2026-11-01", "2026-11-02"]
    assert names(None, at(2026, 11, 1), at(2026, 11, 2, 0, 0, 1)) == days
