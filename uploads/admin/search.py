"""What the search boxes look for: beginnings, which an index can find."""

from __future__ import annotations

import re
from uuid import UUID

from django.db import connection
from django.db.models import Q

_HEX = re.compile(r"[0-9a-f]+\Z", re.IGNORECASE)
_WITH_HYPHENS = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{0,27}\Z", re.IGNORECASE)
#: Sorts after every character that the searched columns hold.
_LAST = "\U0010ffff"


def starts_with(column: str, prefix: str) -> Q:
    """Return the condition that a text column begins with `prefix`, by its index.

    PostgreSQL has an index for LIKE. SQLite's LIKE ignores case and so its index;
    there the range of all texts with that beginning does it.
    """
    if connection.vendor == "postgresql":
        return Q(**{f"{column}__startswith": prefix})
    return Q(**{f"{column}__gte": prefix, f"{column}__lt": prefix + _LAST})


def uuid_range(prefix: str) -> tuple[UUID, UUID] | None:
    """Return the first and last UUID with this beginning; None when it is none's."""
    text = prefix.replace("-", "").lower()
    if not text or len(text) > 32 or not _HEX.match(text):
        return None
    if "-" in prefix and not _WITH_HYPHENS.match(prefix):
        return None
    return UUID(text.ljust(32, "0")), UUID(text.ljust(32, "f"))


def search_uploads(term: str) -> Q:
    """Return the condition for uploads: the beginning of id, key, request id or SHA-256."""
    found = starts_with("request_id", term) | starts_with("key", term)
    if ids := uuid_range(term):
        found |= Q(id__range=ids)
    if _HEX.match(term) and len(term) <= 64:
        found |= starts_with("sha256", term.lower())
    return found


def search_events(term: str) -> Q:
    """Return the condition for events: their number, or the beginning of the upload's id."""
    found = Q(pk__in=[])
    if term.isascii() and term.isdigit() and len(term) < 19:
        found |= Q(id=int(term))
    if ids := uuid_range(term):
        found |= Q(upload_id__gte=ids[0], upload_id__lte=ids[1])
    return found


def search_seals(term: str) -> Q:
    """Return the condition for seals: their number."""
    if term.isascii() and term.isdigit() and len(term) < 19:
        return Q(number=int(term))
    return Q(pk__in=[])
