from __future__ import annotations

import datetime as dt
import time
from collections import Counter
from typing import Any

import pytest
from django.utils import timezone

from mirrorsite.actors import Actor
from uploads import summaries
from uploads.audit import log
from uploads.models import (
    Action,
    HourSummary,
    Status,
    Upload,
    UploadEvent,
    new_upload_id,
)

ACTOR = Actor(name="command:test")
HOUR = summaries.HOUR


@pytest.fixture(autouse=True)
def _the_hour_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a border between two hours one more would be past, and one more counted."""
    half_past = summaries.floor_hour(timezone.now()) + HOUR / 2
    monkeypatch.setattr(timezone, "now", lambda: half_past)


def make_upload(age: dt.timedelta, status: Status = Status.STORED, **fields: Any):
    upload = new_upload(age, status, **fields)
    upload.save()
    return upload


def new_upload(age: dt.timedelta, status: Status = Status.STORED, **fields: Any):
    upload_id = new_upload_id()
    return Upload(
        id=upload_id,
        bucket="b",
        key=f"uploads/{upload_id}.txt",
        status=status,
        requester_name="anonymous",
        created_at=timezone.now() - age,
        **{"size": 100, "sha256": "0" * 64, "duration": dt.timedelta(milliseconds=5)}
        | fields,
    )


def look(hours: int = 24) -> list[summaries.Hour]:
    end = summaries.floor_hour(timezone.now()) + HOUR
    return summaries.hours_between(end - hours * HOUR, end)


def totals(hours: list[summaries.Hour]) -> Counter[str]:
    return sum((hour.uploads for hour in hours), Counter())


@pytest.mark.django_db
class TestHoursBetween:
    def test_hours_between__live_and_past(self) -> None:
        make_upload(dt.timedelta(0))
        make_upload(5 * HOUR)
        make_upload(5 * HOUR, Status.FAILED, duration=None)
        make_upload(30 * HOUR)  # outside

        for _ in range(2):  # counted, then read from what was kept
            hours = look()
            assert len(hours) == 24
            assert totals(hours) == {"stored": 2, "failed": 1}
            assert sum(hour.stored_bytes for hour in hours) == 200
            assert sum(hour.latencies.total() for hour in hours) == 2
        assert HourSummary.objects.count() == 22

    def test_hours_between__a_second_look_counts_only_the_live_hours(
        self, django_assert_num_queries: Any
    ) -> None:
        make_upload(5 * HOUR)
        look()

        # Summaries, changes since, live hours; what is current is written with its time.
        with django_assert_num_queries(4):
            look()

    def test_hours_between__a_changed_past_is_counted_again(self) -> None:
        upload = make_upload(5 * HOUR)
        assert totals(look()) == {"stored": 1}

        log.record(upload, Action.MISSING, ACTOR)

        assert totals(look()) == {"missing": 1}

    def test_hours_between__a_change_that_is_committed_late(self) -> None:
        """Its event has the time of the statement, which waited for a lock."""
        upload = make_upload(5 * HOUR)
        look()
        Upload.objects.update(status=Status.MISSING)
        UploadEvent.objects.create(
            upload=upload,
            action=Action.MISSING,
            at=timezone.now() - dt.timedelta(minutes=1),
            actor="command:test",
        )

        assert totals(look()) == {"missing": 1}

    def test_hours_between__a_change_outside_the_range_is_not_forgotten(self) -> None:
        upload = make_upload(48 * HOUR)
        assert totals(look(72)) == {"stored": 1}
        log.record(upload, Action.MISSING, ACTOR)

        look(24)

        assert totals(look(72)) == {"missing": 1}

    def test_hours_between__not_compared_for_long(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Older changes than it looks for are not missed."""
        upload = make_upload(5 * HOUR)
        look()
        log.record(upload, Action.MISSING, ACTOR)
        later = timezone.now() + dt.timedelta(days=1, minutes=30)
        monkeypatch.setattr(timezone, "now", lambda: later)

        assert totals(look(48)) == {"missing": 1}

    def test_hours_between__what_changes_no_status_is_not_looked_at(
        self, django_assert_num_queries: Any
    ) -> None:
        upload = make_upload(5 * HOUR)
        look()

        log.note(Action.DOWNLOADED, ACTOR, upload=upload)

        with django_assert_num_queries(4):  # none that counts a past hour
            look()


@pytest.mark.django_db
class TestRecentHours:
    def test_up_to_a_minute_old(
        self, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
    ) -> None:
        make_upload(dt.timedelta(0))
        assert totals(summaries.recent_hours(24)) == {"stored": 1}
        make_upload(dt.timedelta(0))
        with django_assert_num_queries(0):
            assert totals(summaries.recent_hours(24)) == {"stored": 1}
        assert summaries.CACHE_SECONDS == 60

        in_a_minute = time.time() + 61
        monkeypatch.setattr(time, "time", lambda: in_a_minute)

        assert totals(summaries.recent_hours(24)) == {"stored": 2}

    def test_ranges_and_hours_do_not_meet(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make_upload(50 * HOUR)
        assert not totals(summaries.recent_hours(24))
        assert len(summaries.recent_hours(72)) == 72
        assert totals(summaries.recent_hours(72)) == {"stored": 1}
        later = timezone.now() + HOUR
        monkeypatch.setattr(timezone, "now", lambda: later)
        last = summaries.recent_hours(24)[-1]
        assert last.start == summaries.floor_hour(later)


@pytest.mark.parametrize("seconds", [0.0002, 0.001, 0.02, 1.5, 60])
@pytest.mark.django_db
def test_percentile__within_a_tenth(seconds: float) -> None:
    make_upload(dt.timedelta(0), duration=dt.timedelta(seconds=seconds))

    (latencies,) = [hour.latencies for hour in look(2) if hour.latencies]

    found = summaries.percentile(latencies, 0.99)
    assert found == pytest.approx(seconds, rel=0.1)


def test_percentile__shares() -> None:
    latencies = Counter({10: 90, 20: 9, 30: 1})

    found = [summaries.percentile(latencies, share) for share in (0.5, 0.95, 0.99, 1)]

    assert [round(x / summaries.BUCKET_FLOOR_SECONDS, 2) for x in found if x] == [
        round(1.1**10.5, 2),
        round(1.1**20.5, 2),
        round(1.1**20.5, 2),
        round(1.1**30.5, 2),
    ]
    assert summaries.percentile(Counter(), 0.5) is None
