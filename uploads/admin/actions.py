"""Actions on the rows selected in a list, or on all that it matches."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest, StreamingHttpResponse

from mirrorsite.actors import staff_actor
from mirrorsite.admin.row_estimates import rough_count
from uploads import exports
from uploads.bulkhead import store_bulkhead
from uploads.exceptions import (
    OtherBucketError,
    StoreBusyError,
    StoreError,
    TransitionError,
)
from uploads.models import Action, Upload
from uploads.object_verification import VERIFIABLE, verify_upload

#: Limits of one request; `manage.py verify_uploads` has none.
MAX_VERIFIED = 1_000
VERIFY_SECONDS = 20.0
LINES_AT_ONCE = 500


@admin.action(description="Verify: compare with the bucket", permissions=["verify"])
def verify_selected(
    model_admin: Any, request: HttpRequest, queryset: QuerySet[Upload]
) -> None:
    """Verify as many as the limits allow, and report the number of each outcome."""
    verifiable = queryset.filter(status__in=VERIFIABLE)
    # Counted first: a verified upload may no longer match the list's filters.
    selected, eligible = rough_count(queryset), rough_count(verifiable)
    skipped = rough_count(queryset.exclude(status__in=VERIFIABLE))
    outcomes: Counter[str] = Counter()
    actor = staff_actor(request)
    deadline = time.monotonic() + VERIFY_SECONDS
    fault = ""
    for upload in verifiable[:MAX_VERIFIED]:
        if time.monotonic() > deadline:
            break
        try:
            with store_bulkhead().permit(actor.quota_key):
                outcomes[verify_upload(upload, actor=actor).action] += 1
        except TransitionError:
            outcomes["changed by another request"] += 1
        except OtherBucketError:
            outcomes["recorded in another bucket"] += 1
        except (StoreBusyError, StoreError) as error:
            # The next would most likely fail in the same way.
            fault = str(error)
            break
    done = outcomes.total()
    text = ", ".join(f"{number} {words}" for words, number in sorted(outcomes.items()))
    text = f"Of {selected} selected: {text or 'none verified'}"
    if skipped:
        text += f"; {skipped} cannot be verified (pending, failed or purged)"
    if done < eligible:
        text += (
            f"; left out: {eligible - done:,} (at most {MAX_VERIFIED:,} in"
            f" {VERIFY_SECONDS:.0f} s; manage.py verify_uploads takes any number)"
        )
    if fault:
        text += f"; stopped: {fault}"
    bad = bool(fault) or outcomes.keys() & {Action.MISSING, Action.CORRUPTED}
    level = messages.ERROR if bad else messages.SUCCESS
    model_admin.message_user(request, text + ".", level)


@admin.action(description="Export as CSV", permissions=["export"])
def export_csv(
    model_admin: Any, request: HttpRequest, queryset: QuerySet[Any]
) -> StreamingHttpResponse:
    return _export(model_admin.model, request, queryset, "csv")


@admin.action(description="Export as JSON lines", permissions=["export"])
def export_jsonl(
    model_admin: Any, request: HttpRequest, queryset: QuerySet[Any]
) -> StreamingHttpResponse:
    return _export(model_admin.model, request, queryset, "jsonl")


def _export(
    model: type[Model],
    request: HttpRequest,
    queryset: QuerySet[Any],
    form: exports.Format,
) -> StreamingHttpResponse:
    """Record the export, then stream it row by row."""
    is_uploads = model is Upload
    name = "uploads" if is_uploads else "events"
    columns: Any = exports.UPLOAD_COLUMNS if is_uploads else exports.EVENT_COLUMNS
    everything = request.POST.get("select_across") == "1"
    exports.record_export(
        staff_actor(request),
        name,
        form,
        selection=exports.EVERYTHING if everything else f"{queryset.count()} chosen",
        chosen_by=request.META.get("QUERY_STRING", ""),
    )
    kind = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson"}[form]
    return StreamingHttpResponse(
        _pieces(exports.lines(exports.by_id(queryset), columns, form=form)),
        content_type=kind,
        headers={
            "Content-Disposition": f'attachment; filename="{name}.{form}"',
            "Cache-Control": "no-store",
        },
    )


def _pieces(lines: Iterator[str]) -> Iterator[bytes]:
    """Yield the lines in batches, because each piece is one write to the client."""
    while piece := "".join(islice(lines, LINES_AT_ONCE)):
        yield piece.encode()
