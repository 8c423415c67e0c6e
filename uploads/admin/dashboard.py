"""The dashboard: outcomes of uploads, pending ones, and the state of the seals."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.template.defaultfilters import filesizeformat, pluralize
from django.utils import timezone
from django.utils.html import format_html

from mirrorsite.admin.row_estimates import rough_count
from uploads import charts, hourly
from uploads.admin import formatting
from uploads.hourly import Hour
from uploads.models import Action, AuditSeal, Status, Upload, UploadEvent

RANGES = {"24h": ("last 24 hours", 24), "7d": ("last 7 days", 7 * 24)}
#: In the order in which a bar stacks them, from its bottom.
STATUSES = (
    Status.STORED,
    Status.PURGED,
    Status.PENDING,
    Status.FAILED,
    Status.MISSING,
    Status.CORRUPTED,
)
#: Events are sealed every minute; three missing seals in a row are a fault.
SEAL_AGE = timedelta(minutes=3)
#: The audit trail is verified every day; an older result does not describe the present.
VERIFIED_AGE = timedelta(days=2)
#: Up to here rows are counted; a larger number is an estimate.
EXACT_UP_TO = 1_000


@dataclass(frozen=True, slots=True)
class Card:
    """One figure; `tone` is its style: good, bad or plain."""

    title: str
    value: Any
    note: Any = ""
    tone: str = "plain"
    url: str = ""


def context(wanted: str) -> dict[str, Any]:
    """Return the template's variables for a range of `RANGES`."""
    if not Upload.objects.exists():
        # The figures would be cached: the first upload would not be seen for a minute.
        return {"is_empty": True, "needs_token": settings.UPLOAD_AUTH == "token"}
    name = wanted if wanted in RANGES else "24h"
    hours = hourly.recent_hours(RANGES[name][1])
    return {
        "range": name,
        "ranges": [(key, text) for key, (text, _) in RANGES.items()],
        "cards": [
            *_upload_cards(hours),
            _pending(),
            _last_stored(),
            _last_seal(),
            _last_verification(),
        ],
        "charts": hourly_charts(hours),
    }


def _upload_cards(hours: list[Hour]) -> list[Card]:
    counts: Counter[str] = sum((hour.uploads for hour in hours), Counter())
    size = sum(hour.stored_bytes for hour in hours)
    # Purged uploads count as successful: they were stored, and deleted on purpose.
    bad = sum(counts[s] for s in (Status.FAILED, Status.MISSING, Status.CORRUPTED))
    finished = counts.total() - counts[Status.PENDING]
    rate, tone = "—", "plain"
    if finished:
        share = 1 - bad / finished
        # 100 % only without a failure.
        rate = f"{min(share * 100, 99.99):.2f} %" if bad else "100 %"
        tone = "good" if share >= 0.99 else "bad"
    stored = f"{filesizeformat(size)} stored"
    return [
        # The current hour is not over, so the period is up to an hour shorter than the
        # range's name says.
        Card(
            f"Uploads since {hours[0].start:%Y-%m-%d %H:%M} UTC",
            f"{counts.total():,}",
            stored,
        ),
        Card("Success rate", rate, f"{bad:,} failed, missing or corrupted", tone),
    ]


def _pending() -> Card:
    title = "Pending over a minute"
    rows = Upload.objects.overdue()
    oldest = rows.order_by("created_at").only("created_at").first()
    if oldest is None:
        return Card(title, "0", "none", "good")
    count = str(rough_count(rows, EXACT_UP_TO))
    note = format_html("the oldest {}", formatting.age(oldest.created_at))
    return Card(title, count, note, "bad", "uploads/upload/?status__exact=pending")


def _last_stored() -> Card:
    at = Upload.objects.last_stored_at()
    value, tone = (formatting.age(at), "plain") if at else ("never", "bad")
    return Card("Last stored upload", value, tone=tone)


def _last_seal() -> Card:
    seal = AuditSeal.objects.order_by("-number").first()
    unsealed = rough_count(UploadEvent.objects.filter(seal=None), EXACT_UP_TO)
    note = f"{unsealed} event{pluralize(unsealed)} not sealed yet"
    if seal is None:
        return Card("Last seal", "never", f"{note}; run the command seal_audit", "bad")
    is_late = timezone.now() - seal.sealed_at > SEAL_AGE
    return Card(
        "Last seal",
        formatting.age(seal.sealed_at),
        f"number {seal.number}; {note}",
        "bad" if is_late else "good",
        f"uploads/auditseal/{seal.number}/change/",
    )


def _last_verification() -> Card:
    """Read the result of the last verification from the event that it recorded."""
    checks = UploadEvent.objects.filter(action=Action.AUDIT_CHECKED)
    newest = checks.order_by("-at", "-id").first()
    title = "Audit trail verification"
    if newest is None:
        return Card(title, "never", "run the command verify_audit")
    is_clean = newest.detail.get("faults") == 0
    is_old = timezone.now() - newest.at > VERIFIED_AGE
    is_good = is_clean and not is_old
    age = formatting.age(newest.at)
    return Card(
        title,
        "clean" if is_clean else "faults found",
        age if is_good else format_html("{}; run the command verify_audit", age),
        "good" if is_good else "bad",
    )


def hourly_charts(hours: list[Hour]) -> list[charts.Chart]:
    """Return the charts of uploads, durations and bytes, with a value for each hour."""
    form = "%H:%M" if len(hours) <= 24 else "%a %H:%M"
    labels = [hour.start.strftime(form) for hour in hours]
    return [
        charts.StackedBars(
            "Uploads per hour (UTC), by outcome",
            labels,
            {s.value: [hour.uploads[s] for hour in hours] for s in STATUSES},
            unit="uploads",
            format_value="{:,.0f}".format,
            width=charts.WIDE,
        ),
        charts.Lines(
            "Duration of uploads, by hour (UTC)",
            labels,
            {
                f"p{share * 100:.0f}": [
                    hour.durations[i] * 1000 if hour.durations else None
                    for hour in hours
                ]
                for i, share in enumerate(hourly.PERCENTILES)
            },
            unit="time",
            format_value=_duration,
        ),
        charts.StackedBars(
            "Bytes stored per hour (UTC)",
            labels,
            {"bytes": [hour.stored_bytes for hour in hours]},
            unit="bytes",
            format_value=lambda size: filesizeformat(size).replace(".0\xa0", "\xa0"),
            base=2,
        ),
    ]


def _duration(milliseconds: float) -> str:
    if milliseconds < 1000:
        return f"{milliseconds:.3g} ms"
    return f"{milliseconds / 1000:.3g} s"
