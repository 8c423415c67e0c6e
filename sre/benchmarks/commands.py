"""What commands over many records take: sealing, verifying, reconciling."""

from __future__ import annotations

import psycopg

from sre.benchmarks.bench import Bench, aws, fill, manage, say
from sre.benchmarks.report import Budget, Report, Table
from uploads.audit.keys import SigningKey

LISTING = "aws s3 ls --recursive"
RECONCILE = "reconcile_uploads"


def audit(bench: Bench) -> Report:
    """Seal and verify a filled trail."""
    key = SigningKey.generate()
    columns = ("events/s", "seconds", "CPU s", "peak MiB")
    table = Table(f"{bench.count:,} uploads", columns)
    for number in range(bench.rounds):
        say(f"filling {bench.count:,} uploads, round {number + 1}")
        environment = bench.environment(
            f"audit-{number}",
            AUDIT_SIGNING_KEY=key.secret_text(),
            AUDIT_PUBLIC_KEYS=key.public_text(),
        )
        fill(environment, str(bench.count))
        with psycopg.connect(environment["DATABASE_URL"]) as connection:
            counted = connection.execute("SELECT count(*) FROM uploads_uploadevent")
            (events,) = counted.fetchone() or (0,)
        for command in ("seal_audit", "verify_audit"):
            seconds, *more = manage(environment, command)
            table.add(command, events / seconds, seconds, *more)
    return Report([table])


def reconcile(bench: Bench) -> Report:
    """Time reconcile_uploads beside a listing, on a tenth of the objects and on all.

    Memory should not grow.
    """
    tables = []
    for count in (bench.count // 10, bench.count):
        say(f"putting {count:,} objects with their records")
        environment = bench.environment(f"reconcile-{count}")
        fill(environment, str(count), "--objects")
        bucket = environment["AWS_STORAGE_BUCKET_NAME"]
        listing = ("s3", "ls", "--recursive", f"s3://{bucket}/uploads/")
        table = Table(f"{count:,} objects", ("seconds", "CPU s", "peak MiB"))
        for name in bench.interleaved([LISTING, RECONCILE]):
            found = (
                aws(environment, *listing)
                if name == LISTING
                else manage(environment, RECONCILE)
            )
            table.add(name, *found)
        tables.append(table)
    ratio = tables[-1].ratio("seconds", RECONCILE, LISTING)
    return Report(
        tables, [Budget(f"{RECONCILE} / {LISTING}", ratio, 0.6, is_maximum=True)]
    )
