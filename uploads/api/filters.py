"""The query parameters of the lists, and the page of uploads that they select."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core import signing
from django.db.models import Q
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from mirrorsite.serializers import QueryNumberField, QuerySerializer
from mirrorsite.times import parse_time
from uploads.api.serializers import StatusField
from uploads.models import Upload

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
_MAX_TEXT = 1024
_CURSOR = "uploads.cursor"

#: What RFC 3339, section 5.6, requires and `parse_time` does not: seconds, an offset.
_WITH_SECONDS_AND_OFFSET = re.compile(
    r"[^Tt]*[Tt][0-9:]{8}(\.[0-9]*)?([Zz]|[+-][0-9:]{5})"
)


@extend_schema_field({"type": "string"})
class CursorField(serializers.Field[tuple[datetime, UUID], str, str, Any]):
    """The signed position of the last upload of a page: its time and id.

    The next page begins after it: unlike an offset, it stays right when uploads are
    created between two requests.
    """

    default_error_messages = {
        "invalid": "{name} must be taken from the next URL of an earlier answer."
    }

    def to_internal_value(self, data: str) -> tuple[datetime, UUID]:
        try:
            moment, upload_id = signing.loads(data, salt=_CURSOR)
        except signing.BadSignature as error:
            raise ValidationError from error  # `QuerySerializer` reports `invalid` above
        return datetime.fromisoformat(moment), UUID(upload_id)


class TimeField(serializers.DateTimeField):
    default_error_messages = {
        "invalid": "{name} must be an RFC 3339 date-time, such as 2026-01-31T12:00:00Z;"
        " in a URL write + as %2B."
    }

    def to_internal_value(self, value: Any) -> datetime:
        if not _WITH_SECONDS_AND_OFFSET.fullmatch(value):
            raise ValidationError
        try:
            return parse_time(value)
        except ValueError as error:
            raise ValidationError from error


# `isprintable` accepts more than ASCII; the API's description promises only ASCII.
@extend_schema_field({"type": "string", "pattern": "^[ -~]+$"})
class PrintableField(serializers.CharField):
    default_error_messages = {
        "invalid": f"{{name}} must be 1 to {_MAX_TEXT} printable characters."
    }

    def __init__(self, **options: Any) -> None:
        super().__init__(trim_whitespace=False, max_length=_MAX_TEXT, **options)

    def to_internal_value(self, data: str) -> str:
        if not data.isprintable():
            raise ValidationError
        return data


class UploadListQuery(QuerySerializer):
    """Parameters of the list of uploads; the `source` of a filter is its lookup."""

    status = StatusField(required=False)
    created_after = TimeField(
        source="created_at__gte",
        required=False,
        help_text="RFC 3339; that moment included.",
    )
    created_before = TimeField(
        source="created_at__lt",
        required=False,
        help_text="RFC 3339; that moment not included.",
    )
    key_prefix = PrintableField(
        source="key__startswith",
        required=False,
        help_text="How the object's key begins.",
    )
    request_id = PrintableField(required=False, help_text="The whole identifier.")
    limit = QueryNumberField(
        min_value=1,
        max_value=MAX_LIMIT,
        default=DEFAULT_LIMIT,
        help_text="Uploads on a page.",
    )
    cursor = CursorField(
        required=False, help_text="From the `next` URL of an earlier answer."
    )


class UploadEventsQuery(QuerySerializer):
    after = QueryNumberField(
        min_value=0,
        max_value=10**18 - 1,
        required=False,
        error_messages={"invalid": "{name} must be the id of an event."},
        help_text="Events after the one with this id.",
    )


def page_of(query: dict[str, Any]) -> tuple[list[Upload], str | None]:
    """Return the page of an `UploadListQuery` and the cursor of the next, in one query.

    The cursor is None on the last page.
    """
    filters = dict(query)
    limit, cursor = filters.pop("limit"), filters.pop("cursor", None)
    found = Upload.objects.filter(**filters).order_by("-created_at", "-id")
    if cursor is not None:
        moment, upload_id = cursor
        # The first condition is redundant, but lets the index scan start at the cursor.
        found = found.filter(
            Q(created_at__lte=moment) & (Q(created_at__lt=moment) | Q(id__lt=upload_id))
        )
    rows = list(found[: limit + 1])
    if len(rows) <= limit:
        return rows, None
    last = rows[limit - 1]
    position = [last.created_at.isoformat(), str(last.pk)]
    return rows[:limit], signing.dumps(position, salt=_CURSOR)
