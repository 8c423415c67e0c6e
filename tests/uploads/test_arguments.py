from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta

import pytest

from mirrorsite.management.arguments import (
    duration,
    duration_above_zero,
    moment,
    positive_count,
)


class TestDuration:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("0s", timedelta(0)),
            ("90s", timedelta(seconds=90)),
            ("15m", timedelta(minutes=15)),
            ("2h", timedelta(hours=2)),
            (" 30d ", timedelta(days=30)),
            ("4w", timedelta(days=28)),
        ],
    )
    def test_good(self, text, expected):
        assert duration(text) == expected

    @pytest.mark.parametrize(
        "text", ["", "15", "m", "-1d", "1.5h", "1d2h", "1 d", "1D", "²d", "999999w"]
    )
    def test_bad(self, text):
        with pytest.raises(argparse.ArgumentTypeError):
            duration(text)


class TestDurationAboveZero:
    @pytest.mark.parametrize("text", ["0s", "0d", "000w", "-1d", "x"])
    def test_bad(self, text):
        with pytest.raises(argparse.ArgumentTypeError):
            duration_above_zero(text)

    def test_good(self):
        assert duration_above_zero("1s") == timedelta(seconds=1)


class TestMoment:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("2026-11-23", datetime(2026, 11, 23, tzinfo=UTC)),
            ("2026-11-23T10:30:00Z", datetime(2026, 11, 23, 10, 30, tzinfo=UTC)),
            ("2026-11-23 10:30", datetime(2026, 11, 23, 10, 30, tzinfo=UTC)),
            ("2026-11-23t10:30:00.5z", datetime(2026, 11, 23, 10, 30, 0, 500_000, UTC)),
            ("0001-01-01", datetime(1, 1, 1, tzinfo=UTC)),
            ("9999-12-31T23:59:59Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
            ("2026-11-23T10:30:00+02:00", datetime(2026, 11, 23, 8, 30, tzinfo=UTC)),
        ],
    )
    def test_iso(self, text, expected):
        assert moment(text) == expected

    def test_ago(self):
        before = datetime.now(UTC)
        assert before - timedelta(days=7) <= moment("7d") <= datetime.now(UTC)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "yesterday",
            "2026-13-01",
            "23.11.2026",
            "9999-12-31T23:59-02:00",
            "0001-01-01T00:00+02:00",
            "0000-01-01",
            "10000-01-01",
            "2026-01-01T24:00",
            "2026-01-01T23:59:60Z",
            "2026-01-01T00:60",
            "2026-01-01T00:00+24:00",
            "2026-01-01T00:00+00:60",
            "2026-01-01T00:00+99:99",
            "2026-01-01T00:00-23:59:59.999999",
            "2026-W01-1",
            "20260101",
            "2026-01-01\0T00:00",
            "\uff12\uff10\uff12\uff16-01-01",
            "99999999999999999999d",
        ],
    )
    def test_bad(self, text):
        with pytest.raises(argparse.ArgumentTypeError):
            moment(text)


class TestJobCount:
    @pytest.mark.parametrize("text", ["0", "65", "-1", "x", "", "1.0", "²", "1" * 5000])
    def test_bad(self, text):
        with pytest.raises(argparse.ArgumentTypeError):
            positive_count(text)

    def test_good(self):
        assert [positive_count("1"), positive_count("64")] == [1, 64]
