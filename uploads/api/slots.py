"""The slots of this process, held while a view of the API asks the store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from django.conf import settings

from uploads.api.errors import busy_problem
from uploads.exceptions import StoreBusyError
from uploads.slots import StoreSlots


@cache
def slots() -> StoreSlots:
    """Return this process's slots; two threads stay free of the store's moods."""
    return StoreSlots(max(1, settings.WEB_THREADS - 2))


@contextmanager
def store_slot() -> Iterator[None]:
    """Hold a slot; raises the `Problem` of there being none."""
    try:
        with slots().one():
            yield
    except StoreBusyError as error:
        raise busy_problem() from error
