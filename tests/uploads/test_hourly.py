from __future__ import annotations

import datetime as dt
import time
from collections import Counter
from typing import Any

import pytest
from django.utils import timezone

from tests.uploads import making
from uploads import hourly
from uploads.models import Status

HOUR = hourly.HOUR
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _the_hour_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a border between two hours an upload could fall into the next."""
    half_past = hourly.floor_hour(timezone.now()) + HOUR / 2
    monkeypatch.setattr(timezone, "now", lambda: half_past)


def make_upload(age: dt.timedelta, status: Status = Status.STORED, **fields: Any):
    columns = {"size": 100, "duration": dt.timedelta(milliseconds=5)} | fields
    created_at = timezone.now() - age
    making.new_upload(status=status, created_at=created_at, **columns).save()


def totals(hours: list[hourly.Hour]) -> Counter[str]:
    return sum((hour.uploads for hour in hours), Counter())


class TestRecentHours:
    def test_counts_by_hour_and_status(self):
        make_upload(dt.timedelta(0))
        make_upload(5 * HOUR, size=23)
        make_upload(5 * HOUR, Status.FAILED, duration=None)
        make_upload(30 * HOUR)  # before the range

        hours = hourly.recent_hours(24)

        now = hourly.floor_hour(timezone.now())
        assert [hour.start for hour in hours] == [
            now - i * HOUR for i in reversed(range(24))
        ]
        assert hours[-1].uploads == {"stored": 1}
        assert hours[-6].uploads == {"stored": 1, "failed": 1}
        assert (hours[-1].stored_bytes, hours[-6].stored_bytes) == (100, 23)
        assert totals(hours) == {"stored": 2, "failed": 1}

    def test_durations__percentiles_of_stored_uploads(self):
        for milliseconds in range(1, 101):
            make_upload(
                dt.timedelta(0), duration=dt.timedelta(milliseconds=milliseconds)
            )
        make_upload(dt.timedelta(0), Status.CORRUPTED, duration=dt.timedelta(hours=1))
        make_upload(HOUR, duration=None)  # adopted: not measured

        hours = hourly.recent_hours(3)

        assert [hour.durations for hour in hours] == [[], [], [0.05, 0.095, 0.099]]

    def test_up_to_a_minute_old(self, monkeypatch, django_assert_num_queries):
        make_upload(dt.timedelta(0))
        assert totals(hourly.recent_hours(24)) == {"stored": 1}
        make_upload(dt.timedelta(0))
        with django_assert_num_queries(0):
            assert totals(hourly.recent_hours(24)) == {"stored": 1}

        in_a_minute = time.time() + 61
        monkeypatch.setattr(time, "time", lambda: in_a_minute)

        assert totals(hourly.recent_hours(24)) == {"stored": 2}

    def test_ranges_and_hours_are_cached_apart(self, monkeypatch):
        make_upload(50 * HOUR)
        assert not totals(hourly.recent_hours(24))
        assert totals(hourly.recent_hours(72)) == {"stored": 1}
        later = timezone.now() + HOUR
        monkeypatch.setattr(timezone, "now", lambda: later)
        assert hourly.recent_hours(24)[-1].start == hourly.floor_hour(later)
