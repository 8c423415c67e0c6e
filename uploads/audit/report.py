"""The report of a verification, its faults, and the projections that apps register."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

#: Faults kept in full; further ones are only counted, by kind.
KEPT_FAULTS = 1_000


class FaultKind(StrEnum):
    """The kinds of faults; stable names, because programs read them too."""

    #: A sealed event, or a seal, is not what was signed, or cannot be read.
    CHANGED = "changed"
    #: A sealed event, a seal, or an upload with events is not in the database.
    MISSING = "missing"
    #: Something exists that was never sealed or never recorded.
    INVENTED = "invented"
    #: A sealed event exists, but under another id or another seal.
    REORDERED = "reordered"
    #: The chain in the database is truncated: the bucket has signed seals after its
    #: last one.
    CUT_TAIL = "cut tail"
    #: A seal does not have the hash of the one before it.
    BROKEN_CHAIN = "broken chain"
    #: The signature does not match the key.
    FORGED_SIGNATURE = "forged signature"
    #: The key is not trusted, or was replaced before this seal.
    UNKNOWN_KEY = "unknown key"
    #: A copy in the bucket is not what was sealed.
    COPY_DIFFERS = "copy differs"
    #: A copy is not in the bucket.
    COPY_MISSING = "copy missing"
    #: An event is unsealed for too long, cannot be sealed, or is dated in the future.
    UNSEALED = "unsealed"
    #: The last seal is too old, or there is none.
    SEALING_STOPPED = "sealing stopped"
    #: An upload's status is not the one that its last event leads to.
    STATUS_DIFFERS = "status differs"
    #: An upload's row does not match its events.
    FACTS_DIFFER = "facts differ"


@dataclass(frozen=True, slots=True)
class Fault:
    """One difference: its kind, its subject (`event 5`) and a sentence."""

    kind: FaultKind
    subject: str
    detail: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.subject}: {self.detail}"


@dataclass(slots=True)
class Report:
    """The outcome of a verification; its size is bounded."""

    seals: int = 0
    events: int = 0
    uploads: int = 0
    unsealed: int = 0
    faults: list[Fault] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def is_clean(self) -> bool:
        return not self.counts

    def add(self, kind: FaultKind, subject: str, detail: str) -> None:
        self.counts[kind.value] += 1
        if len(self.faults) < KEPT_FAULTS:
            self.faults.append(Fault(kind, subject, detail))

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return {
            "clean": self.is_clean,
            "seals": self.seals,
            "events": self.events,
            "uploads": self.uploads,
            "unsealed": self.unsealed,
            "counts": dict(sorted(self.counts.items())),
            "faults": [asdict(fault) for fault in self.faults],
            "faults_omitted": self.counts.total() - len(self.faults),
        }


class Projection(Protocol):
    """Rows that an app computes from its events; verified and restored with them.

    The app adds it to `projections` in `AppConfig.ready`; it can be a module.
    """

    def check(self, report: Report, *, since: int | None) -> Iterator[None]:
        """Count the rows, and report those that differ from their events.

        Yields after each page of rows, to show progress.

        `since` is the number of a seal: only rows with an event under that seal or a
        later one, or with an unsealed event, are checked.
        """

    def contradiction(self, lost: list[dict[str, Any]], seal: int) -> str | None:
        """Return why the lost events of a seal cannot be restored, or None if they can.

        They cannot if a row contradicts the audit trail. `seal` is the seal's number.
        """

    def restore(self, ids: Collection[UUID]) -> None:
        """Insert or update these rows to match their events."""


projections: list[Projection] = []
