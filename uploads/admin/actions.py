"""Actions on the selected rows of a list, or on all rows that match its filters."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse

from mirrorsite.actors import staff_actor
from mirrorsite.admin.row_estimates import rough_count
from uploads import exports
from uploads.exceptions import (
    OtherBucketError,
    StoreBusyError,
    StoreError,
    TransitionError,
)
from uploads.models import Action, Upload
from uploads.object_verification import VERIFIABLE, verify_upload

#: Limits of one request; the command `verify_uploads` has none.
MAX_VERIFIED = 1_000
VERIFY_SECONDS = 20.0
#: Lines of an export that are sent to the client in one write.
LINES_AT_ONCE = 500


@admin.action(description="Verify: compare with the bucket", permissions=["verify"])
def verify_selected(
    model_admin: Any, request: HttpRequest, queryset: QuerySet[Upload]
) -> None:
    """Verify as many as the limits allow, and show the number of each outcome."""
    # Count first: after its verification an upload may not match the list's filters.
    selected = rough_count(queryset)
    outcomes: Counter[str] = Counter()
    actor = staff_actor(request)
    deadline = time.monotonic() + VERIFY_SECONDS
    fault = ""
    for upload in queryset.filter(status__in=VERIFIABLE)[:MAX_VERIFIED]:
        if time.monotonic() > deadline:
            break
        try:
            outcomes[verify_upload(upload, actor=actor).action] += 1
        except TransitionError:
            outcomes["changed by another request"] += 1
        except OtherBucketError:
            outcomes["recorded in another bucket"] += 1
        except (StoreBusyError, StoreError) as error:
            # The next upload would most likely fail in the same way.
            fault = str(error)
            break
    text = ", ".join(f"{number} {words}" for words, number in sorted(outcomes.items()))
    text = f"Of {selected} selected: {text or 'none verified'}"
    if left := selected - outcomes.total():
        about = "" if selected.is_exact else "about "
        text += (
            f"; left out: {about}{left:,} (only stored, missing and corrupted uploads are"
            f" verified, up to {MAX_VERIFIED:,} in {VERIFY_SECONDS:.0f} s; the command"
            " verify_uploads has no limit)"
        )
    if fault:
        text += f"; stopped: {fault}"
    is_bad = fault or outcomes[Action.MISSING] or outcomes[Action.CORRUPTED]
    level = messages.ERROR if is_bad else messages.SUCCESS
    model_admin.message_user(request, text + ".", level)


@admin.action(description="Export as CSV", permissions=["export"])
def export_csv(
    model_admin: Any, request: HttpRequest, queryset: QuerySet[Any]
) -> StreamingHttpResponse:
    return _export(request, queryset, "csv")


@admin.action(description="Export as JSON lines", permissions=["export"])
def export_jsonl(
    model_admin: Any, request: HttpRequest, queryset: QuerySet[Any]
) -> StreamingHttpResponse:
    return _export(request, queryset, "jsonl")


def _joined(lines: Iterator[str], count: int) -> Iterator[str]:
    """Yield the lines, `count` of them joined at a time."""
    while text := "".join(islice(lines, count)):
        yield text


def _export(
    request: HttpRequest, queryset: QuerySet[Any], form: exports.Format
) -> StreamingHttpResponse:
    """Record the export, then stream it row by row."""
    name, columns = exports.EXPORTS[queryset.model]
    # Parsed as Django does: any text but "", "0" and "false" selects everything.
    across = ActionForm.base_fields["select_across"]
    everything = across.to_python(request.POST.get("select_across", ""))
    exports.record_export(
        staff_actor(request),
        name,
        form,
        selection=exports.EVERYTHING if everything else f"{queryset.count()} chosen",
        filters=request.META.get("QUERY_STRING", ""),
    )
    kind = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson"}[form]
    lines = exports.lines(exports.by_id(queryset), columns, form=form)
    return StreamingHttpResponse(
        _joined(lines, LINES_AT_ONCE),
        content_type=kind,
        headers={"Content-Disposition": f'attachment; filename="{name}.{form}"'},
    )
