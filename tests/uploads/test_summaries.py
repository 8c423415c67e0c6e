from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import Any

import pytest
from django.utils import timezone

from uploads import summaries, trail
from uploads.models import Action, HourSummary, StaleHour, Status, Upload, new_upload_id
from uploads.trail import Caller

CALLER = Caller(name="command:test")
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

        with django_assert_num_queries(3):  # summaries, marks, live hours
            look()

    def test_hours_between__a_changed_past_is_counted_again(self) -> None:
        upload = make_upload(5 * HOUR)
        assert totals(look()) == {"stored": 1}

        trail.record(upload, Action.MISSING, CALLER)

        assert StaleHour.objects.count() == 1
        assert totals(look()) == {"missing": 1}
        assert not StaleHour.objects.exists()

    def test_hours_between__a_change_outside_the_range_is_not_forgotten(self) -> None:
        upload = make_upload(48 * HOUR)
        assert totals(look(72)) == {"stored": 1}
        trail.record(upload, Action.MISSING, CALLER)

        look(24)

        assert totals(look(72)) == {"missing": 1}

    def test_hours_between__what_changes_no_status_leaves_no_mark(self) -> None:
        upload = make_upload(5 * HOUR)

        trail.record(upload, Action.VERIFIED, CALLER)
        trail.note(Action.DOWNLOADED, CALLER, upload=upload)

        assert not StaleHour.objects.exists()

    def test_hours_between__an_old_record_adopted_leaves_a_mark(self) -> None:
        look()

        trail.begin(new_upload(5 * HOUR), CALLER, Action.ADOPTED)

        assert totals(look()) == {"stored": 1}


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
