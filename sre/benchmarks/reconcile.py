"""reconcile_uploads beside `aws s3 ls --recursive` on the same bucket."""

from __future__ import annotations

from sre.benchmarks.bench import Bench, aws, fill, manage, say
from sre.benchmarks.report import Budget, Report, Table

LISTING = "aws s3 ls --recursive"
RECONCILE = "reconcile_uploads"


def reconcile(bench: Bench) -> Report:
    """Time both on a tenth of the objects and on all; memory should not grow."""
    tables = []
    for count in (bench.count // 10, bench.count):
        say(f"putting {count:,} objects with their records")
        environment = bench.environment(f"reconcile-{count}")
        fill(environment, str(count), "--objects")
        bucket = environment["AWS_STORAGE_BUCKET_NAME"]
        table = Table(f"{count:,} objects", ("seconds", "CPU s", "peak MiB"))
        for name in bench.interleaved([LISTING, RECONCILE]):
            if name == LISTING:
                found = aws(
                    environment, "s3", "ls", "--recursive", f"s3://{bucket}/uploads/"
                )
            else:
                found = manage(environment, "reconcile_uploads")
            table.add(name, *found)
        tables.append(table)
    ratio = tables[-1].ratio("seconds", RECONCILE, LISTING)
    return Report(tables, [Budget(f"{RECONCILE} / {LISTING}", ratio, 0.6, True)])
