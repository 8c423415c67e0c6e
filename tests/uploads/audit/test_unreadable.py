"""What no column of ours ever held: whoever owns the database can put it there.

It is named like any other change; and it stops neither the sealer nor the verification
of everything else, which would be the better attack.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection, transaction

from tests.uploads.audit.tampering import as_owner
from tests.uploads.audit.trails import Trail, add_uploads
from uploads.exceptions import SealError
from uploads.models import AuditSeal, Upload, UploadEvent
from uploads.storage import UploadStorage

pytestmark = pytest.mark.django_db

DEEP = "[" * 5000 + "]" * 5000
OF_UPLOADS = {"status differs", "facts differ"}
#: Assignments to an event's columns: values that PostgreSQL has and Python has not.
EVENT = (
    "at = 'infinity'",
    "at = '0044-03-15 BC'",
    "at = '12000-01-01'",
    "detail = jsonb_set(detail, '{size}', '4.0')",
    f"detail = '{DEEP}'",
    f"""detail = '{{"size": {"9" * 5000}}}'""",
    "detail = 'null'",
)
UPLOAD = ("created_at = 'infinity'",)
SEAL = ("sealed_at = 'infinity'",)


@pytest.fixture
def trail(bucket: UploadStorage) -> Iterator[Trail]:
    trail = Trail(bucket)
    for count in (2, 1, 0):
        add_uploads(count)
        trail.seal()
    with as_owner():
        yield trail


def each(table: str, assignments: tuple[str, ...], where: str) -> Iterator[str]:
    """Carry out one after another, and take each back again."""
    for assignment in assignments:
        with transaction.atomic():
            assign(table, assignment, where)
            yield assignment
            transaction.set_rollback(True)


def assign(table: str, assignment: str, where: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {table} SET {assignment} WHERE {where}")  # noqa: S608


class TestVerify:
    def test_event(self, trail):
        event = UploadEvent.objects.order_by("id")[1].pk
        for done in each("uploads_uploadevent", EVENT, f"id = {event}"):
            named = [fault for fault in trail.faults() if fault[0] not in OF_UPLOADS]
            assert named == [("changed", f"event {event}")], done[:80]

    def test_upload(self, trail):
        upload = Upload.objects.order_by("id")[1].pk
        for done in each("uploads_upload", UPLOAD, f"id = '{upload}'"):
            assert trail.faults() == [("facts differ", f"upload {upload}")], done

    @pytest.mark.parametrize("number", [2, 3])
    def test_seal(self, trail, number):
        for done in each("uploads_auditseal", SEAL, f"number = {number}"):
            assert trail.faults() == [("changed", f"seal {number}")], done
            # What it was to be compared with is named by a run over everything.
            assert ("sealing stopped", "the trail") not in trail.faults(since=3) or (
                number == 3
            )


class TestSeal:
    def test_events__the_others_are_sealed(self, trail):
        # JSON that is not canonical has to be parsed; null has a line of its own.
        assignments = tuple(a for a in EVENT if a != "detail = 'null'")
        add_uploads(len(assignments))
        events = UploadEvent.objects.filter(seal=None, action="stored").order_by("id")
        chosen = list(events.values_list("id", flat=True))
        for event, assignment in zip(chosen, assignments, strict=True):
            assign("uploads_uploadevent", assignment, f"id = {event}")
        assert sum(sealed.event_count for sealed in trail.seal()) == len(chosen)
        named = [fault for fault in trail.faults() if fault[0] not in OF_UPLOADS]
        assert named == sorted(("unsealed", f"event {event}") for event in chosen)

    def test_last_seal__refused(self, trail):
        for _ in each("uploads_auditseal", SEAL, "number = 3"):
            with pytest.raises(SealError, match="seal 3, the last one in the database"):
                trail.seal()
        assert AuditSeal.objects.count() == 3
