"""Invented uploads with their events, many and fast; see ./sre/fill."""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

BUCKET = "invented"
BATCH = 10_000
#: Invents a batch of uploads, oldest first, and writes them with their events. Returns
#: key and number of each. `course` is the last action of each, some hours after the
#: upload unless it is `stored`, `failed` or `requested`.
FILL = """
WITH drawn AS (
  SELECT
    (n - random()) / %(count)s AS part,
    CASE WHEN %(objects)s THEN 'stored' ELSE
      (ARRAY['stored', 'verified', 'failed', 'missing', 'corrupted', 'purged', 'requested'])[
        1 + width_bucket(100 * random(), ARRAY[93, 96, 98, 98.4, 98.6, 99.8]::float[])]
    END AS course,
    (ARRAY['anonymous', 'token:canary', 'token:build-pipeline', 'token:nightly-backup', 'user:ada'])[
      1 + width_bucket(100 * random(), ARRAY[70, 82, 91, 96]::float[])] AS requester,
    (ARRAY['curl/8.5.0', 'PostmanRuntime/7.43', 'mirrorsite-canary/1.0'])[
      1 + floor(3 * random())::int] AS user_agent,
    CASE WHEN random() < 0.02 THEN -2.6 ELSE -4.6 END AS slowness,
    floor(10000 * random())::bigint AS number,
    md5(random()::text) AS request_id
  FROM generate_series(%(first)s, %(last)s) AS n
), timed AS (
  SELECT *,
    make_interval(secs => exp(random_normal(slowness, 0.5))) AS duration,
    -- A wave over the day: denser at noon than at night.
    least(
      now() - random() * interval '1 second',
      now() - %(days)s * interval '1 day'
        * (1 - part - sin(2 * pi() * part * %(days)s) / (4 * pi() * %(days)s))
    ) AS created_at
  FROM drawn
), identified AS (
  SELECT *,
    created_at + duration AS answered_at,
    created_at + duration + (0.5 + random()) * CASE course
      WHEN 'verified' THEN interval '2 hours'
      WHEN 'missing' THEN interval '5 hours'
      WHEN 'corrupted' THEN interval '5 hours'
      WHEN 'purged' THEN interval '24 hours'
    END AS checked_at,
    -- Version 7: the milliseconds, then random bits (RFC 9562).
    encode(set_bit(set_bit(overlay(
      uuid_send(gen_random_uuid())
      PLACING substring(int8send(floor(1000 * extract(epoch FROM created_at))::bigint) FROM 3)
      FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid AS id,
    CASE WHEN %(objects)s OR random() < 0.8 THEN length(number::text)
      ELSE exp(random_normal(11, 2))::bigint END AS size,
    -- Searches by SHA-256 find one upload, as in production.
    encode(sha256(CASE WHEN %(objects)s THEN number::text ELSE random()::text END::bytea), 'hex')
      AS sha256
  FROM timed
), invented AS (
  SELECT *,
    to_char(created_at, '"uploads/"YYYY/MM/DD/') || id || '.txt' AS key,
    CASE
      WHEN course = 'requested' OR answered_at > now() THEN 'pending'
      WHEN course = 'failed' THEN 'failed'
      WHEN checked_at <= now() AND course <> 'verified' THEN course
      ELSE 'stored'
    END AS status
  FROM identified
), uploads AS (
  INSERT INTO uploads_upload (
    id, bucket, key, status, size, sha256, etag, version_id, number, requester_name,
    client_address, user_agent, request_id, idempotency_scope, idempotency_key,
    idempotency_fingerprint, error, created_at, stored_at, duration
  )
  SELECT
    id, %(bucket)s, key, status, size, sha256,
    CASE WHEN is_stored THEN md5(number::text) ELSE '' END, '', number, requester,
    ('192.0.2.' || 1 + floor(254 * random()))::inet, user_agent, request_id, '', '', '',
    CASE status WHEN 'failed' THEN 'the object store answered 403 AccessDenied' ELSE '' END,
    created_at,
    CASE WHEN is_stored THEN answered_at END, CASE WHEN is_stored THEN duration END
  FROM invented CROSS JOIN LATERAL (SELECT status NOT IN ('pending', 'failed') AS is_stored)
), events AS (
  INSERT INTO uploads_uploadevent (upload_id, action, at, actor, request_id, detail)
  SELECT id, action, at, actor, event.request_id, '{"invented": true}' || detail
  FROM invented CROSS JOIN LATERAL (
    VALUES
      ('requested', created_at, requester, request_id, jsonb_build_object(
        'key', key, 'size', size, 'sha256', sha256, 'number', number)),
      (CASE course WHEN 'failed' THEN 'failed' ELSE 'stored' END,
        CASE WHEN course <> 'requested' THEN answered_at END, requester, request_id,
        CASE course WHEN 'failed' THEN '{}'
          ELSE jsonb_build_object('etag', md5(number::text)) END),
      (course, checked_at, 'command:verify_uploads', '', '{}')
  ) AS event (action, at, actor, request_id, detail)
  WHERE at <= now()
  ORDER BY at
)
SELECT key, number FROM invented
"""


def fill(count: int, *, days: float, objects: bool = False) -> None:
    """Write uploads into Django's database, and their objects into the bucket.

    With objects, all are stored, and their content is their number. Raises
    `ValueError` if the database has other uploads.
    """
    from django.db import connection

    from uploads.models import Upload
    from uploads.storage import BytesPayload, upload_storage

    def put(row: tuple[str, int]) -> None:
        key, number = row
        upload_storage().put_new(key, BytesPayload(str(number).encode()), {})

    bucket = os.environ["AWS_STORAGE_BUCKET_NAME"] if objects else BUCKET
    if Upload.objects.exclude(bucket=bucket).exists():
        raise ValueError(
            "this database holds uploads that were not invented; name another one"
            " with DATABASE_URL."
        )
    given: dict[str, Any] = {"count": count, "days": days, "objects": objects}
    with connection.cursor() as cursor, ThreadPoolExecutor(8) as pool:
        cursor.execute("SELECT setseed(0.1)")  # the same uploads each time
        for done in range(0, count, BATCH):
            last = min(done + BATCH, count)
            cursor.execute(
                FILL, {**given, "bucket": bucket, "first": done + 1, "last": last}
            )
            if objects:
                list(pool.map(put, cursor.fetchall()))
        cursor.execute("VACUUM ANALYZE uploads_upload")
        cursor.execute("VACUUM ANALYZE uploads_uploadevent")


def main() -> int:
    parser = argparse.ArgumentParser(prog="sre/fill")
    parser.add_argument("number", type=int)
    parser.add_argument("--days", type=float, default=30)
    parser.add_argument("--objects", action="store_true")
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mirrorsite.settings")
    import django
    from django.core.exceptions import ImproperlyConfigured

    from sre.lib.local_service import command_environment
    from sre.lib.processes import StartError

    started = time.monotonic()
    try:
        if not os.environ.get("DATABASE_URL"):
            environment = command_environment()
            # Cleared: an AWS_PROFILE or AWS_SESSION_TOKEN of the shell is for another account.
            os.environ.clear()
            os.environ.update(environment)
        django.setup()
        fill(options.number, days=options.days, objects=options.objects)
    except (ImproperlyConfigured, StartError, ValueError) as error:
        sys.stderr.write(f"sre/fill: {error}\n")
        return 2
    seconds = time.monotonic() - started
    sys.stderr.write(f"{options.number:,} uploads written in {seconds:.0f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
