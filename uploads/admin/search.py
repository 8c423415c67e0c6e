"""The searches of the lists, and the filter by requester; all of them use an index."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from django.contrib.admin import SimpleListFilter
from django.db import connection
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from mirrorsite.admin.filters import RoughFacets
from uploads.models import AuditSeal, Upload, UploadEvent

_HEX = re.compile(r"[0-9a-f]+\Z", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]{1,18}\Z")
#: Matches per column; `search_help_text` states the number.
MAX_FOUND = 500
#: Names offered as choices; `?requester=` accepts any name.
MAX_REQUESTERS = 50


def uuid_range(prefix: str) -> tuple[UUID, UUID] | None:
    """Return the first and last UUID with this prefix; None if no UUID has it."""
    digits = prefix.replace("-", "")
    if len(digits) > 32 or not _HEX.match(digits):
        return None
    return UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))


def search_uploads(uploads: QuerySet[Upload], term: str) -> QuerySet[Upload]:
    """Return the uploads whose id, key, request id or SHA-256 begins with `term`.

    One query for each column, limited to `MAX_FOUND`, so that each uses its column's
    index. For an OR over columns PostgreSQL may scan the table, newest rows first.
    """
    # If more than `MAX_FOUND` match: keys and most ids begin with their time, so the newest
    # are found. The order of request ids and digests means nothing: of these, an arbitrary
    # choice is found.
    queries = [
        uploads.filter(key__startswith=term).order_by("-key"),
        uploads.filter(request_id__startswith=term).order_by(),
    ]
    if ids := uuid_range(term):
        queries.append(uploads.filter(id__range=ids).order_by("-id"))
    if _HEX.match(term) and len(term) <= 64:
        queries.append(uploads.filter(sha256__startswith=term.lower()).order_by())
    found: set[UUID] = set()
    for rows in queries:
        found.update(rows.values_list("pk", flat=True)[:MAX_FOUND])
    return uploads.filter(pk__in=found)


def search_events(events: QuerySet[UploadEvent], term: str) -> QuerySet[UploadEvent]:
    """Return the event with this id, and those whose upload's id has this prefix."""
    found = Q(pk__in=[])
    if _NUMBER.match(term):
        found |= Q(id=int(term))
    if ids := uuid_range(term):
        # A foreign key has no lookup `range`.
        found |= Q(upload_id__gte=ids[0], upload_id__lte=ids[1])
    return events.filter(found)


def search_seals(seals: QuerySet[AuditSeal], term: str) -> QuerySet[AuditSeal]:
    """Return the seal with this number."""
    return seals.filter(number=int(term)) if _NUMBER.match(term) else seals.none()


class RequesterFilter(RoughFacets, SimpleListFilter):
    title = "requester"
    parameter_name = "requester"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the distinct names in the table, up to `MAX_REQUESTERS`.

        Each takes one index lookup; DISTINCT would read every row.
        """
        with connection.cursor() as cursor:
            cursor.execute(
                """
                WITH RECURSIVE names(name) AS (
                    SELECT MIN(requester_name) FROM uploads_upload
                    UNION ALL
                    SELECT (SELECT MIN(requester_name) FROM uploads_upload
                            WHERE requester_name > names.name)
                    FROM names WHERE names.name IS NOT NULL
                )
                SELECT name FROM names WHERE name IS NOT NULL LIMIT %s
                """,
                [MAX_REQUESTERS],
            )
            return [(name, name) for (name,) in cursor.fetchall()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        name = self.value()
        return queryset if name is None else queryset.filter(requester_name=name)

    def facet_rows(self, rows: QuerySet[Any]) -> list[QuerySet[Any]]:
        return [rows.filter(requester_name=name) for name, _ in self.lookup_choices]
