"""Restores events that the database lost, from the signed copies in the bucket.

After an older backup was restored, the bucket has seals after the database's last one.
They are restored in order, with their events and the rows of their uploads, all in one
transaction: a run that fails or is interrupted changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
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
    missing_or_sealed,
    record_seal,
    sealed_lines,
    unreadable_values,
    verified_seal,
)
from uploads.audit.models import Action, UploadEvent
from uploads.audit.report import projections
from uploads.audit.seal_store import SealStore
from uploads.audit.serialization import UNREADABLE
from uploads.exceptions import SealError


@dataclass(slots=True)
class Lost:
    """The seals that the database lacks, and how many of their events it lacks."""

    first_seal: int | None = None
    last_seal: int | None = None
    events: int = 0


def restore_lost_events(
    actor: Actor,
    *,
    dry_run: bool = False,
    on_seal: Callable[[], None] = lambda: None,
) -> Lost:
    """Restore what the database lacks from the bucket; record that as an event.

    A dry run does the same and rolls it back. Raises `AuditKeyError` without a trusted
    key, `SealError` when the bucket contradicts itself or the database, `StoreError`,
    and `TrailUnavailableError`.
    """
    chain = Chain(SealStore(), keys.configured_trusted_keys())
    lost = Lost()
    with (
        log.database_errors("the events could not be restored to the database"),
        unreadable_values(),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        chain.load()
        if chain.next() is not None:
            # Until the transaction ends, no new event can take the id of a lost one, and a
            # second run waits. Uploads wait too, so the table is locked only if something
            # is lost.
            cursor.execute("LOCK TABLE uploads_uploadevent IN SHARE ROW EXCLUSIVE MODE")
            # Back to the last seal of the database: `next` has gone past it, and another
            # run may have restored seals in the meantime.
            chain.load()
        while (seal := chain.next()) is not None:
            lost.events += _restore(seal, chain.store)
            lost.first_seal = lost.first_seal or seal.number
            lost.last_seal = seal.number
            on_seal()
        _require_no_gap(chain)
        if dry_run:
            transaction.set_rollback(True)
        elif lost.last_seal is not None:
            for statement in connection.ops.sequence_reset_sql(
                no_style(), [UploadEvent]
            ):
                cursor.execute(statement)
            log.record_without_upload(
                Action.EVENTS_RESTORED, actor, detail=asdict(lost)
            )
    return lost


def _restore(seal: Seal, store: SealStore) -> int:
    """Write a seal with its events and uploads; return how many events were lost."""
    lines = sealed_lines(store, seal)
    try:
        lost_ids = _lost_events(seal, lines)
        events = [_event(lines[event_id]) for event_id in lost_ids]
        UploadEvent.objects.bulk_create(events)
        for projection in projections:
            projection.restore({e.upload_id for e in events if e.upload_id})
    except UNREADABLE as error:
        if is_unavailable(error):
            raise
        # The database refuses a value, or the copy has one that no column can hold.
        raise SealError(
            f"seal {seal.number} in the bucket contradicts the database:"
            f" {reason(error)}; {HINT}"
        ) from error
    # All events must be there now. This also compares the written rows with the copy,
    # and raises `SealError` for a difference: a column may have altered a value.
    if missing_or_sealed(seal, lines):
        raise SealError(
            f"seal {seal.number} has events that cannot be restored; {HINT}"
        )
    if not record_seal(seal, list(lines), store):
        # This happens only to a seal without events: while this transaction locks the
        # events' table, no sealer can record a seal that has any.
        raise SealError(
            f"another run has recorded seal {seal.number} since; run this again"
        )
    return len(lost_ids)


def _lost_events(seal: Seal, lines: dict[int, bytes]) -> list[int]:
    """Return the ids of a seal's lost events.

    Raises `SealError` if the database contradicts one of them.
    """
    ids = missing_or_sealed(seal, lines)
    # Those that are under another seal are not lost: they are a contradiction.
    elsewhere = UploadEvent.objects.filter(pk__in=ids).order_by("pk").first()
    if elsewhere is not None:
        raise SealError(
            f"event {elsewhere.pk}, of seal {seal.number} in the bucket, is under seal"
            f" {elsewhere.seal_id} in the database; {HINT}"
        )
    lost = [json.loads(lines[event_id]) for event_id in ids]
    for projection in projections:
        if contradiction := projection.contradiction(lost, seal.number):
            raise SealError(f"{contradiction}; {HINT}")
    return ids


def _require_no_gap(chain: Chain) -> None:
    """Raise `SealError` if the bucket lacks the chain's next seal and has a later one.

    Objects with a seal's name that are not signed by a trusted key are ignored.
    """
    store, following = chain.store, chain.number + 1
    for number, _ in store.listed("seals"):
        if number is None or number < following:
            continue
        try:
            verified_seal(
                store.oldest_version_of_seal(number) or b"", number, chain.trusted
            )
        except SealError:
            continue
        # A sealer may have written seal `following` after `chain` looked for it.
        if store.oldest_version_of_seal(following) is None:
            raise SealError(
                f"{store.seal_object_key(following)} is not in the bucket, though seal"
                f" {number} is; {HINT}"
            )
        return


def _event(line: bytes) -> UploadEvent:
    values = json.loads(line)
    values["upload_id"] = values.pop("upload")
    values["at"] = parse_canonical_time(values["at"])
    return UploadEvent(**values)
