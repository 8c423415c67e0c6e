"""Who of the staff acts, in the words of the trail."""

from __future__ import annotations

from dataclasses import replace

from django.http import HttpRequest

from uploads.api.callers import caller_of
from uploads.trail import Caller


def staff_caller(request: HttpRequest) -> Caller:
    """Return the logged-in user as the caller."""
    return replace(
        caller_of(request),
        name=f"user:{request.user.get_username()}",
        user_id=request.user.pk,
    )
