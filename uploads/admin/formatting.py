"""Formats single values as HTML: a status, an age, a key."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince


def column(title: str, show: Callable[[Any], Any]) -> Any:
    """Return a column of a list, or a field of a page, with this title."""
    return admin.display(description=title)(show)


def label(name: str) -> SafeString:
    """Return a status or an action as a label, which the style sheet colours."""
    words = name.replace("_", " ")
    return format_html('<span class="label label-{}">{}</span>', name, words)


def age(at: datetime) -> SafeString:
    """Return how long ago `at` was, with the exact time as a tooltip."""
    seconds = (timezone.now() - at).total_seconds()
    words = "just now" if seconds < 60 else f"{timesince(at, depth=1)} ago"
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>',
        at.isoformat(),
        f"{at:%Y-%m-%d %H:%M:%S}",
        words,
    )


def exact_time(at: datetime | None) -> SafeString | str:
    """Return a time to the millisecond, in UTC."""
    if at is None:
        return "—"
    return format_html(
        '<time datetime="{}">{} UTC</time>',
        at.isoformat(),
        f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03}",
    )


def copyable(text: str, *, name: str, shown: str | None = None) -> SafeString | str:
    """Return `text`, or `shown` in its place, with a button that copies `text`."""
    if not text:
        return "—"
    return format_html(
        '<span class="copyable"><code title="{}">{}</code>{}</span>',
        text,
        text if shown is None else shown,
        copy_button(text, name=name),
    )


def copy_button(text: str, *, name: str) -> SafeString:
    return format_html(
        '<button type="button" class="copy" data-copy="{}" aria-label="Copy {}">'
        "</button>",
        text,
        name,
    )
