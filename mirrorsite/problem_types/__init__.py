"""Every kind of error the API answers with, declared once. No Django here.

docs/problems.md is this table with an example of each; `GET /api/problems` serves it.
A type is `/api/problems/<slug>`: a path, as RFC 9457 section 3.1.1 allows, so that
it means the same on every host that runs the service, and can be looked up there.
"""

from __future__ import annotations

from mirrorsite.problem_types.general import GENERAL
from mirrorsite.problem_types.kind import ProblemType
from mirrorsite.problem_types.uploads import UPLOADS

__all__ = ["PROBLEM_TYPES", "SLUG_OF_STATUS", "ProblemType"]

PROBLEM_TYPES: dict[str, ProblemType] = {
    kind.slug: kind for kind in (*GENERAL, *UPLOADS)
}
#: What a bare status means when nothing better is known of the error.
SLUG_OF_STATUS: dict[int, str] = {
    400: "bad-request",
    401: "not-authenticated",
    403: "permission-denied",
    404: "not-found",
    405: "method-not-allowed",
    413: "body-too-large",
    415: "unsupported-media-type",
    429: "throttled",
    500: "internal-error",
    503: "database-unavailable",
}
