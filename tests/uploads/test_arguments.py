from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta

import pytest

from mirrorsite.management.arguments import (
    duration,
    minimum_age,
    moment,
    positive_count,
)


@pytest.mark.parametrize(
    ("parse", "text", "expected"),
    [
        (duration, "0s", timedelta(0)),
        (duration, "90s", timedelta(seconds=90)),
        (duration, "15m", timedelta(minutes=15)),
        (duration, " 30d ", timedelta(days=30)),
        (duration, "4w", timedelta(days=28)),
        (minimum_age, "1s", timedelta(seconds=1)),
        (moment, "2026-11-23", datetime(2026, 11, 23, tzinfo=UTC)),
        (moment, "2026-11-23 10:30", datetime(2026, 11, 23, 10, 30, tzinfo=UTC)),
        (
            moment,
            "2026-11-23t10:30:00.5z",
            datetime(2026, 11, 23, 10, 30, 0, 500_000, UTC),
        ),
        (moment, "0001-01-01", datetime(1, 1, 1, tzinfo=UTC)),
        (
            moment,
            "9999-12-31T23:59:59Z",
            datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
        ),
        (
            moment,
            "2026-11-23T10:30:00+02:00",
            datetime(2026, 11, 23, 8, 30, tzinfo=UTC),
        ),
        (positive_count, "1", 1),
        (positive_count, "64", 64),
    ],
)
def test_good(parse, text, expected):
    assert parse(text) == expected


def test_moment__ago():
    before = datetime.now(UTC)
    assert before - timedelta(days=7) <= moment("7d") <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("parse", "texts"),
    [
        (duration, "|15|m|-1d|1.5h|1d2h|1 d|1D|²d|999999w"),
        (minimum_age, "0s|0d|000w|-1d|x"),
        (positive_count, "0|65|-1|x||1.0|²|" + "1" * 5000),
        (
            moment,
            "|yesterday|2026-13-01|23.11.2026|0000-01-01|10000-01-01|2026-W01-1|20260101"
            "|9999-12-31T23:59-02:00|0001-01-01T00:00+02:00|2026-01-01T24:00"
            "|2026-01-01T23:59:60Z|2026-01-01T00:60|2026-01-01T00:00+24:00"
            "|2026-01-01T00:00+00:60|2026-01-01T00:00-23:59:59.999999"
            "|2026-01-01\0T00:00|\uff12\uff10\uff12\uff16-01-01|99999999999999999999d",
        ),
    ],
)
def test_bad(parse, texts):
    for text in texts.split("|"):
        with pytest.raises(argparse.ArgumentTypeError):
            parse(text)
