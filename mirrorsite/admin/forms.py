"""Forms of the admin that two requests send at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.http import HttpResponse


def validated_again(
    view: Callable[..., HttpResponse], *args: Any, **kwargs: Any
) -> HttpResponse:
    """Call a form's view; once more if another request took its name in between.

    The second time the form sees the committed row, and shows its error.
    """
    try:
        with transaction.atomic():
            return view(*args, **kwargs)
    except (IntegrityError, ValidationError):
        return view(*args, **kwargs)
