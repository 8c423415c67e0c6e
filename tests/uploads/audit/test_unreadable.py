"""What no column of ours ever held: whoever owns the database can put it there.

It is named like any other change; and it stops neither the sealer nor the verification
of everything else, which would be the better attack.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection, transaction

from tests.uploads.audit.tampering import as_owner, execute
from tests.uploads.audit.trails import Trail, add_uploads
from uploads.exceptions import SealError
from uploads.models import AuditSeal, Upload, UploadEvent
from uploads.storage import UploadStorage

pytestmark = pytest.mark.django_db

DEEP = "[" * 5000 + "]" * 5000
OF_UPLOADS = {"status differs", "facts differ"}
#: Assignments to an event's columns. PostgreSQL has types, and values that Python has not.
EVENT = {
    "postgresql": (
        "at = 'infinity'",
        "at = '0044-03-15 BC'",
        "at = '12000-01-01'",
        "detail = jsonb_set(detail, '{size}', '4.0')",
        f"detail = '{DEEP}'",
        f"""detail = '{{"size": {"9" * 5000}}}'""",
        "detail = 'null'",
    ),
    # SQLite keeps any text, so that one value has many spellings.
    "sqlite": (
        "at = 'garbage'",
        "at = replace(at, ' ', 'T')",
        "at = at || '999'",
        "at = at || '+00:00'",
        "upload_id = 'garbage'",
        "upload_id = upper(upload_id)",
        "upload_id = substr(upload_id, 1, 8) || '-' || substr(upload_id, 9)",
        "actor = CAST(x'ff' AS TEXT)",
        "actor = CAST(actor AS BLOB)",
        "detail = 'garbage'",
        """detail = '{"size": 99, ' || substr(detail, 2)""",
        """detail = replace(detail, '"size": 4', '"size": 4.0')""",
        """detail = replace(detail, '"size": 4', '"size": 4e0')""",
        """detail = replace(detail, '"size": 4', '"size": NaN')""",
        """detail = replace(detail, '"size"', '"\\u0073ize"')""",
        "detail = replace(detail, ': ', ':')",
        "detail = CAST(detail AS BLOB)",
        f"detail = '{DEEP}'",
        f"""detail = '{{"size": {"9" * 5000}}}'""",
    ),
}
UPLOAD = {
    "postgresql": ("created_at = 'infinity'",),
    "sqlite": (
        "created_at = 'garbage'",
        "created_at = replace(created_at, ' ', 'T')",
        "sha256 = CAST(x'ff' AS TEXT)",
        "sha256 = CAST(sha256 AS BLOB)",
    ),
}
SEAL = {
    "postgresql": ("sealed_at = 'infinity'",),
    "sqlite": (
        "sealed_at = 'garbage'",
        "sealed_at = sealed_at || '+00:00'",
        "key_id = CAST(x'ff' AS TEXT)",
    ),
}


@pytest.fixture
def trail(bucket: UploadStorage) -> Iterator[Trail]:
    trail = Trail(bucket)
    for count in (2, 1, 0):
        add_uploads(count)
        trail.seal()
    with as_owner():
        if connection.vendor == "sqlite":
            execute("PRAGMA ignore_check_constraints = ON")
        yield trail
        if connection.vendor == "sqlite":
            execute("PRAGMA ignore_check_constraints = OFF")


def each(
    table: str, assignments: dict[str, tuple[str, ...]], where: str
) -> Iterator[str]:
    """Carry out one after another, and take each back again."""
    for assignment in assignments[connection.vendor]:
        with transaction.atomic():
            assign(table, assignment, where)
            yield assignment
            transaction.set_rollback(True)


def assign(table: str, assignment: str, where: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {table} SET {assignment} WHERE {where}")  # noqa: S608


class TestVerify:
    def test_event(self, trail: Trail) -> None:
        event = UploadEvent.objects.order_by("id")[1].pk
        for done in each("uploads_uploadevent", EVENT, f"id = {event}"):
            named = [fault for fault in trail.faults() if fault[0] not in OF_UPLOADS]
            assert named == [("changed", f"event {event}")], done[:80]

    def test_upload(self, trail: Trail) -> None:
        upload = Upload.objects.order_by("id")[1].pk
        ours = upload.hex if connection.vendor == "sqlite" else upload
        for done in each("uploads_upload", UPLOAD, f"id = '{ours}'"):
            assert trail.faults() == [("facts differ", f"upload {upload}")], done

    @pytest.mark.parametrize("spelling", ["upper(id)", "'garbage'"])
    def test_upload__found_by_its_id_no_more(self, trail: Trail, spelling: str) -> None:
        if connection.vendor == "postgresql":
            pytest.skip("PostgreSQL's type has one spelling")
        upload = Upload.objects.order_by("id")[1].pk
        assign("uploads_upload", f"id = {spelling}", f"id = '{upload.hex}'")
        written = "garbage" if spelling == "'garbage'" else upload.hex.upper()
        assert trail.faults() == [
            ("invented", f"upload '{written}'"),
            ("missing", f"upload {upload}"),
        ]

    @pytest.mark.parametrize("number", [2, 3])
    def test_seal(self, trail: Trail, number: int) -> None:
        for done in each("uploads_auditseal", SEAL, f"number = {number}"):
            assert trail.faults() == [("changed", f"seal {number}")], done
            # What it was to be compared with is named by a run over everything.
            assert ("sealing stopped", "the trail") not in trail.faults(since=3) or (
                number == 3
            )


class TestSeal:
    def test_events__the_others_are_sealed(self, trail: Trail) -> None:
        assignments = EVENT[connection.vendor]
        # JSON that is not canonical has to be looked into; null has a line of its own.
        assignments = tuple(a for a in assignments if a != "detail = 'null'")
        add_uploads(len(assignments))
        events = UploadEvent.objects.filter(seal=None, action="stored").order_by("id")
        chosen = list(events.values_list("id", flat=True))
        for event, assignment in zip(chosen, assignments, strict=True):
            assign("uploads_uploadevent", assignment, f"id = {event}")
        assert sum(sealed.event_count for sealed in trail.seal()) == len(chosen)
        named = [fault for fault in trail.faults() if fault[0] not in OF_UPLOADS]
        assert named == sorted(("unsealed", f"event {event}") for event in chosen)

    def test_last_seal__refused(self, trail: Trail) -> None:
        for _ in each("uploads_auditseal", SEAL, "number = 3"):
            with pytest.raises(SealError, match="seal 3, the last one in the database"):
                trail.seal()
        assert AuditSeal.objects.count() == 3
