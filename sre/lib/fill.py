"""Invented uploads with their events, many and fast; see ./sre/fill."""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import random
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sre.lib.put_objects import put_objects

BUCKET = "invented"
BATCH = 10_000

#: The ways an upload can go: weight, and its events with the hours after the start
#: at which the later ones come (None: at once).
COURSES: list[tuple[float, tuple[tuple[str, float | None], ...]]] = [
    (93.0, (("requested", None), ("stored", None))),
    (3.0, (("requested", None), ("stored", None), ("verified", 2.0))),
    (2.0, (("requested", None), ("failed", None))),
    (0.4, (("requested", None), ("stored", None), ("missing", 5.0))),
    (0.2, (("requested", None), ("stored", None), ("corrupted", 5.0))),
    (1.2, (("requested", None), ("stored", None), ("purged", 24.0))),
    (0.2, (("requested", None),)),
]
REQUESTERS = [
    (70, "anonymous"),
    (12, "token:canary"),
    (9, "token:build-pipeline"),
    (5, "token:nightly-backup"),
    (4, "user:ada"),
]
UPLOAD_COLUMNS = (
    "id", "bucket", "key", "status", "size", "sha256", "etag", "version_id", "number",
    "requester_name", "client_address", "user_agent", "request_id", "error",
    "created_at", "stored_at", "duration",
)  # fmt: skip
KEY, NUMBER = UPLOAD_COLUMNS.index("key"), UPLOAD_COLUMNS.index("number")
EVENT_COLUMNS = ("upload_id", "action", "at", "actor", "request_id", "detail")

Row = tuple[Any, ...]


def uploads(
    count: int, days: float, seed: int, now: datetime, *, bucket: str = BUCKET
) -> Iterator[tuple[Row, list[Row]]]:
    """Yield `count` uploads, oldest first, each with its events.

    In a bucket of one's own all are stored, and their content is their number.
    """
    rng = random.Random(seed)  # noqa: S311 invented data, the same for the same seed
    known = COURSES if bucket == BUCKET else COURSES[:1]
    weights = [weight for weight, _ in known]
    courses = [events for _, events in known]
    names = [name for _, name in REQUESTERS]
    shares = [share for share, _ in REQUESTERS]
    span = timedelta(days=days)
    for i in range(count):
        # A wave over the day: denser at noon than at night.
        part = (i + rng.random()) / count
        wave = math.sin(2 * math.pi * part * days) / (2 * math.pi * days) * 0.5
        created = now - span * (1 - part - wave)
        created = min(created, now - timedelta(milliseconds=rng.random() * 1000))
        (course,) = rng.choices(courses, weights)
        (requester,) = rng.choices(names, shares)
        yield _upload(rng, created, course, requester, now, bucket)


def _upload(
    rng: random.Random,
    created: datetime,
    course: tuple[tuple[str, float | None], ...],
    requester: str,
    now: datetime,
    bucket: str,
) -> tuple[Row, list[Row]]:
    upload_id = _uuid7(created, rng)
    request_id = f"{rng.getrandbits(128):032x}"
    slow = rng.random() < 0.02
    duration = timedelta(seconds=rng.lognormvariate(-4.6 + 2 * slow, 0.5))
    number = rng.randint(0, 9999)
    content = str(number).encode()
    digest, etag = hashlib.sha256(content).hexdigest(), _md5(content)
    size = len(content)
    if bucket == BUCKET:  # searches by SHA-256 find one upload, as in service
        digest = f"{rng.getrandbits(256):064x}"
        if rng.random() < 0.2:
            size = int(rng.lognormvariate(11, 2))
    key = f"uploads/{created:%Y/%m/%d}/{upload_id}.txt"
    events: list[Row] = []
    for action, hours in course:
        at = created if action == "requested" else created + duration
        if hours is not None:
            at += timedelta(hours=hours * (0.5 + rng.random()))
        if at > now:
            break
        detail: dict[str, Any] = {"invented": True}
        if action == "requested":
            detail |= {"key": key, "size": size, "sha256": digest, "number": number}
        actor = requester if hours is None else "command:verify_uploads"
        events.append(
            (upload_id, action, at, actor, request_id if hours is None else "", detail)
        )
    last = events[-1][1]
    status = {"requested": "pending", "verified": "stored"}.get(last, last)
    stored = any(event[1] == "stored" for event in events)
    row = (
        upload_id,
        bucket,
        key,
        status,
        size,
        digest,
        etag if stored else "",
        "",
        number,
        requester,
        f"192.0.2.{rng.randint(1, 254)}",
        rng.choice(["curl/8.5.0", "PostmanRuntime/7.43", "mirrorsite-canary/1.0"]),
        request_id,
        "the object store answered 403 AccessDenied" if last == "failed" else "",
        created,
        created + duration if stored else None,
        duration if stored else None,
    )
    return row, events


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _uuid7(at: datetime, rng: random.Random) -> UUID:
    milliseconds = int(at.timestamp() * 1000)
    value = milliseconds << 80 | 0x7 << 76 | rng.getrandbits(12) << 64
    return UUID(int=value | 0b10 << 62 | rng.getrandbits(62))


def fill(
    count: int, *, days: float, seed: int, quiet: bool = False, objects: bool = False
) -> None:
    """Write uploads into Django's database, and their objects into the bucket.

    Raises `ValueError`.
    """
    from django.db import connection, transaction

    from uploads.models import Upload

    bucket = os.environ["AWS_STORAGE_BUCKET_NAME"] if objects else BUCKET
    if Upload.objects.exclude(bucket=bucket).exists():
        raise ValueError(
            "this database holds uploads that were not invented; name another one"
            " with DATABASE_URL."
        )
    # What has a default in Python has none in the database.
    others = {
        field.column: field.get_default()
        for field in Upload._meta.concrete_fields
        if not field.null and field.column not in UPLOAD_COLUMNS
    }
    columns = (*UPLOAD_COLUMNS, *others)
    upload_rows: list[Row] = []
    event_rows: list[Row] = []
    for done, (row, events) in enumerate(
        uploads(count, days, seed, datetime.now(UTC), bucket=bucket), start=1
    ):
        upload_rows.append((*row, *others.values()))
        event_rows.extend(events)
        if len(upload_rows) == BATCH or done == count:
            with transaction.atomic():
                _copy("uploads_upload", columns, upload_rows)
                _copy("uploads_uploadevent", EVENT_COLUMNS, event_rows)
            if objects:
                put_objects(
                    os.environ["AWS_ENDPOINT_URL_S3"],
                    (
                        os.environ["AWS_ACCESS_KEY_ID"],
                        os.environ["AWS_SECRET_ACCESS_KEY"],
                    ),
                    bucket,
                    [(row[KEY], str(row[NUMBER]).encode()) for row in upload_rows],
                )
            upload_rows, event_rows = [], []
            if not quiet:
                _progress(done, count)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE uploads_upload")
        cursor.execute("VACUUM ANALYZE uploads_uploadevent")


def _copy(table: str, columns: tuple[str, ...], rows: list[Row]) -> None:
    from django.db import connection

    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy,
    ):
        for row in rows:
            copy.write_row([_json(value) for value in row])


def _json(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict) else value


def _progress(done: int, count: int) -> None:
    if sys.stderr.isatty():
        end = "\n" if done == count else ""
        sys.stderr.write(f"\r{done:,} of {count:,} uploads ({done / count:.0%}){end}")
        sys.stderr.flush()


def main() -> int:
    parser = argparse.ArgumentParser(prog="sre/fill")
    parser.add_argument("number", type=int)
    parser.add_argument("--days", type=float, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--objects", action="store_true")
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mirrorsite.settings")
    import django
    from django.core.exceptions import ImproperlyConfigured

    started = time.monotonic()
    try:
        django.setup()
        fill(
            options.number,
            days=options.days,
            seed=options.seed,
            objects=options.objects,
        )
    except (ImproperlyConfigured, ValueError) as error:
        sys.stderr.write(f"sre/fill: {error}\n")
        return 2
    seconds = time.monotonic() - started
    sys.stderr.write(f"{options.number:,} uploads written in {seconds:.0f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
