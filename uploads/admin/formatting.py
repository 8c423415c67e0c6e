"""Formats single values as HTML: a status, an age, a key."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince


def column(title: str, show: Callable[[Any], Any]) -> Any:
    """Return a column of a list, or a field of a page, with this title."""
    return admin.display(description=title)(show)


def label(name: str, words: str) -> SafeString:
    """Return a status or an action as a label; the style sheet colours it by name."""
    return format_html('<span class="label label-{}">{}</span>', name, words.lower())


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


def exact_time(at: datetime) -> SafeString:
    """Return a time to the millisecond, in UTC."""
    return format_html(
        '<time datetime="{}">{} UTC</time>',
        at.isoformat(),
        f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03}",
    )


def copy_button(text: str, *, name: str) -> SafeString:
    """Return a button that copies the text."""
    context = {"text": text, "name": name}
    return render_to_string("admin/uploads/copy_button.html", context)
