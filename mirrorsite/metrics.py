"""The Prometheus metrics; mirrorsite.metrics_server serves them.

Under gunicorn each worker writes its numbers to files in PROMETHEUS_MULTIPROC_DIR,
which gunicorn_conf sets before this module is imported; without it they stay in this
process. Labels have few values: a path that matches no route is "unmatched".
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from prometheus_client import Counter, Histogram

#: In seconds. Health and mirror take well below a millisecond, an upload a few.
REQUEST_BUCKETS = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
    0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip
METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})

REQUEST_SECONDS = Histogram(
    "mirrorsite_request_duration_seconds",
    "Time from a request's arrival in Django to its answer.",
    ["route", "method", "status"],
    buckets=REQUEST_BUCKETS,
)
UPLOADS = Counter(
    "mirrorsite_uploads",
    "Uploads requested, by outcome: stored, failed, pending, unrecorded, or the status"
    " that another writer has given the record.",
    ["outcome"],
)
UPLOAD_BYTES = Counter("mirrorsite_upload_bytes", "Bytes of the stored uploads.")
STORE_SECONDS = Histogram(
    "mirrorsite_store_request_duration_seconds",
    "Time from a request to the object store to the head of its answer.",
    ["operation", "outcome"],
    buckets=REQUEST_BUCKETS[2:],
)


@lru_cache(maxsize=1024)  # labels() validates and locks at every call
def request_observer(
    route: str, method: str | None, status: int
) -> Callable[[float], None]:
    """Return the function that counts one request and its duration in seconds."""
    known = method if method in METHODS else "other"
    return REQUEST_SECONDS.labels(route, known, str(status)).observe
