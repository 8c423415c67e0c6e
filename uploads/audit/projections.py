"""Rows that another app computes from its events; verified and restored with them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Protocol
from uuid import UUID

from uploads.audit.report import Report


class Projection(Protocol):
    """What an app registers, in `AppConfig.ready`; a module will do."""

    def check(self, report: Report, *, since: int | None) -> Iterator[None]:
        """Report and count every row that differs from its events, a page at a time.

        `since` limits the rows to those with an event under that seal or a later one,
        or under none yet.
        """

    def contradiction(self, lost: list[dict[str, Any]], seal: int) -> str | None:
        """Return how a row contradicts the events that `seal` is to bring back."""

    def restore(self, ids: Collection[UUID]) -> None:
        """Write these rows as their events leave them."""


registered: list[Projection] = []
