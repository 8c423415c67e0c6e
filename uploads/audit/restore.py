"""Restores events that the database lost, from the signed copies in the bucket.

After an older backup was restored, the bucket has seals after the database's last one.
They are restored in order, with their events and the rows of their uploads, all in
one transaction: an interrupted or refused run changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from django.core.management.color import no_style
from django.db import connection, transaction

from mirrorsite.actors import Actor
from mirrorsite.database import is_unavailable, reason
from uploads.audit import keys, log
from uploads.audit.canonical import Seal, parse_canonical_time
from uploads.audit.chain import (
    HINT,
    Chain,
    missing_events,
    record_seal,
    sealed_lines,
    verified_seal,
)
from uploads.audit.models import Action, AuditSeal, UploadEvent
from uploads.audit.report import projections
from uploads.audit.seal_store import SealStore
from uploads.audit.serialization import UNREADABLE
from uploads.exceptions import SealError, UploadsError


@dataclass(slots=True)
class Lost:
    """The seals that the database lacks, and how many of their events it lacks."""

    first_seal: int | None = None
    last_seal: int | None = None
    events: int = 0


class Restoration:
    """Restores what the bucket has and the database lacks.

    Raises `AuditKeyError` without a trusted key.
    """

    def __init__(self) -> None:
        self._store = SealStore()
        self._trusted = keys.configured_trusted_keys()

    def run(
        self,
        actor: Actor,
        *,
        dry_run: bool = False,
        on_seal: Callable[[], None] = lambda: None,
    ) -> Lost:
        """Restore all lost seals, with an event that names them and `actor`.

        A dry run does the same and rolls it back. Raises `SealError` when the bucket
        contradicts itself or the database, `StoreError`, and `TrailUnavailableError`.
        """
        lost = Lost()
        with (
            log.database_errors("the database cannot be used"),
            transaction.atomic(),
        ):
            for seal, lines in self._lost():
                lost.events += self._restore(seal, lines)
                lost.first_seal = lost.first_seal or seal.number
                lost.last_seal = seal.number
                on_seal()
            self._require_no_gap()
            if dry_run:
                transaction.set_rollback(True)
            elif lost.last_seal is not None:
                with connection.cursor() as cursor:
                    for statement in connection.ops.sequence_reset_sql(
                        no_style(), [UploadEvent]
                    ):
                        cursor.execute(statement)
                log.record_event(Action.EVENTS_RESTORED, actor, detail=asdict(lost))
        return lost

    def _lost(self) -> Iterator[tuple[Seal, dict[int, bytes]]]:
        """Yield the bucket's seals after the database's last one, with their lines."""
        chain = Chain(self._store, self._trusted)
        seal = chain.last()
        while (seal := chain.next(seal)) is not None:
            yield seal, sealed_lines(self._store, seal)

    def _require_no_gap(self) -> None:
        """Raise `SealError` if the bucket lacks the next seal and has a later one.

        Unsigned objects that have a seal's name do not count.
        """
        numbers = AuditSeal.objects.order_by("-number").values_list("number", flat=True)
        last = numbers.first() or 0
        listed = (number for number, _ in self._store.listed_seals())
        later = (n for n in listed if n is not None and n > last and self._is_signed(n))
        number = next(later, None)
        # A sealer may have written it since the chain was read.
        if number is not None and self._store.first_seal(last + 1) is None:
            raise SealError(
                f"{self._store.seal_object_key(last + 1)} is not in the bucket, though seal"
                f" {number} is; {HINT}"
            )

    def _is_signed(self, number: int) -> bool:
        try:
            verified_seal(self._store.first_seal(number) or b"", number, self._trusted)
        except SealError:
            return False
        return True

    def _restore(self, seal: Seal, lines: dict[int, bytes]) -> int:
        """Write a seal with its events and uploads; return how many events were lost."""
        with connection.cursor() as cursor:
            # Until the transaction ends, no new event may take a lost one's number.
            cursor.execute("LOCK TABLE uploads_uploadevent IN SHARE ROW EXCLUSIVE MODE")
        try:
            missing = _missing(seal, lines)
            events = [_event(lines[event_id]) for event_id in missing]
            UploadEvent.objects.bulk_create(events)
            for projection in projections:
                projection.restore({e.upload_id for e in events if e.upload_id})
        except UNREADABLE as error:
            if is_unavailable(error):
                raise
            # The database refuses a value, or an event has one that no column takes.
            raise SealError(
                f"seal {seal.number} in the bucket contradicts the database:"
                f" {reason(error)}; {HINT}"
            ) from error
        if missing_events(seal, lines):
            raise SealError(f"seal {seal.number} has events that cannot be restored")
        if not record_seal(seal, list(lines), self._store):
            raise ConcurrentRestoreError(seal.number)
        return len(missing)


class ConcurrentRestoreError(UploadsError):
    """Another process restored the seal while this one compared it."""

    def __init__(self, number: int) -> None:
        super().__init__(
            f"seal {number} was restored by another process; run this again"
        )


def _missing(seal: Seal, lines: dict[int, bytes]) -> list[int]:
    """Return the ids of a seal's lost events; raises `SealError` at a contradiction."""
    missing = missing_events(seal, lines)
    elsewhere = UploadEvent.objects.filter(pk__in=missing).order_by("pk").first()
    if elsewhere is not None and elsewhere.seal_id == seal.number:
        raise ConcurrentRestoreError(seal.number)
    if elsewhere is not None:
        raise SealError(
            f"event {elsewhere.pk}, of seal {seal.number} in the bucket, is under seal"
            f" {elsewhere.seal_id} in the database; {HINT}"
        )
    lost = [json.loads(lines[event_id]) for event_id in missing]
    for projection in projections:
        if contradiction := projection.contradiction(lost, seal.number):
            raise SealError(f"{contradiction}; {HINT}")
    return missing


def _event(line: bytes) -> UploadEvent:
    values = json.loads(line)
    values["upload_id"] = values.pop("upload")
    return UploadEvent(**values | {"at": parse_canonical_time(values["at"])})
