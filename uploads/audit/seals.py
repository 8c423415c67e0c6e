"""Sealing: signs a seal over the unsealed events, and copies both to the bucket.

A seal is written to the bucket first and to the database second. The bucket accepts one
object for each seal number, so of several sealers one makes seal N. A sealer that finds
a seal in the bucket without a row (another sealer is between the two steps, or was
interrupted there) records it from the copy, if the copy is signed, continues the chain
and has the same events as the database. Otherwise it raises `SealError` and signs
nothing. So concurrent sealers are safe without a lock. No transaction is open while the
bucket is read or written.

An event is unsealed while its `seal` is null, whatever its id: an event whose
transaction commits late has a low id and is covered by the next seal.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass

from django.utils import timezone

from uploads.audit import keys
from uploads.audit.canonical import Seal, format_time
from uploads.audit.chain import (
    HINT,
    Chain,
    missing_or_sealed,
    record_seal,
    sealed_lines,
    unreadable_values,
)
from uploads.audit.keys import SigningKey, TrustedKeys
from uploads.audit.log import database_errors
from uploads.audit.models import AuditSeal, UploadEvent
from uploads.audit.seal_store import SealStore
from uploads.audit.serialization import sealable_lines
from uploads.exceptions import (
    AuditKeyError,
    ObjectExistsError,
    SealError,
)

logger = logging.getLogger(__name__)

#: The most events in one seal. A sealer has their lines in memory, some 5 MB.
EVENTS_PER_SEAL = 10_000


@dataclass(frozen=True, slots=True)
class Sealed:
    """One seal made or finished by a run."""

    number: int
    event_count: int
    #: Recorded from the copy that an interrupted run left in the bucket.
    is_recovered: bool


def seal_audit(
    *,
    store: SealStore | None = None,
    signing_key: SigningKey | None = None,
    trusted_keys: TrustedKeys | None = None,
    next_key: bytes | None = None,
    events_per_seal: int = EVENTS_PER_SEAL,
) -> list[Sealed]:
    """Seal all committed unsealed events; if there are none, make an empty seal.

    Events written during the run may be left to the next one. `next_key` is a public
    key to announce in the first seal of the run. The old key continues to sign until
    AUDIT_SIGNING_KEY is changed. The new key's first seal retires the old key: seals that
    the old key signs after that are not valid. A key that was announced and lost is
    replaced by announcing another one, and is retired together with the old key.

    Raises `AuditKeyError` when there is no key to sign with, `SealError` when the
    bucket contradicts the database, `StoreError`, and `TrailUnavailableError`. The next
    run finishes what an interrupted one began.
    """
    store = store or SealStore()
    signing_key = signing_key or keys.required_signing_key()
    chain = Chain(store, trusted_keys or keys.configured_trusted_keys())
    sealer = _Sealer(store, signing_key, chain, events_per_seal)
    with (
        database_errors("the seal could not be written to the database"),
        unreadable_values(),
    ):
        return sealer.run(next_key)


@dataclass(frozen=True, slots=True)
class _Sealer:
    store: SealStore
    signing_key: SigningKey
    chain: Chain
    events_per_seal: int

    def run(self, next_key: bytes | None) -> list[Sealed]:
        """Make and finish seals until no event is left; return the seals.

        Each round makes one, unless another sealer is faster.
        """
        made: list[Sealed] = []
        while True:
            self.chain.load()
            if (unfinished := self.chain.next()) is not None:
                made += self._finish(unfinished)
                continue
            # An event without an id, possible only if the tables' owner dropped the
            # primary key, could not be marked as sealed; verify_audit reports it.
            unsealed = UploadEvent.objects.filter(seal=None, id__isnull=False)
            pairs = list(sealable_lines(unsealed, self.events_per_seal))
            # A run makes at least one seal of its own, if need be an empty one: its time
            # shows that sealing works. A seal that it only finished has an older time.
            has_made_one = any(not sealed.is_recovered for sealed in made)
            if not pairs and has_made_one:
                return made
            ids = [event_id for event_id, _ in pairs]
            lines = b"".join(line for _, line in pairs)
            seal = self._sign(ids, lines, next_key)
            try:
                self.store.put(seal, lines)
            except ObjectExistsError:
                if self.store.oldest_version_of_seal(seal.number) is None:
                    # The seal's object does not exist, so it was the events' object that
                    # already existed, with other content. No sealer writes that.
                    raise
                continue
            if record_seal(seal, ids, self.store):
                made.append(Sealed(seal.number, len(ids), is_recovered=False))
                next_key = None
                if len(ids) < self.events_per_seal:
                    # Newer events are left to the next run: under load there are always
                    # some, and this run would never end.
                    return made

    def _sign(self, ids: list[int], lines: bytes, next_key: bytes | None) -> Seal:
        """Return the next seal of the chain, over these events."""
        number = self.chain.number + 1
        if self.chain.trusted.is_retired(self.signing_key.id, number):
            raise AuditKeyError(
                f"key {self.signing_key.id} was replaced and can no longer sign;"
                " set AUDIT_SIGNING_KEY to the key that replaced it."
            )
        return self.signing_key.sign_seal(
            Seal(
                number=number,
                sealed_at=format_time(timezone.now()),
                event_count=len(ids),
                first_event=ids[0] if ids else None,
                last_event=ids[-1] if ids else None,
                root=hashlib.sha256(lines).hexdigest(),
                previous=self.chain.hash,
                key_id=self.signing_key.id,
                next_key=None if next_key is None else next_key.hex(),
            )
        )

    def _finish(self, seal: Seal) -> list[Sealed]:
        """Record a seal that only the bucket has, if the database has its events.

        Return an empty list if another sealer has recorded it by now.
        """
        try:
            lines = sealed_lines(self.store, seal)
            if unusable := missing_or_sealed(seal, lines):
                raise SealError(
                    f"event {min(unusable)}, of seal {seal.number} in the bucket, is not"
                    f" in the database or is under another seal; {HINT}. If an older"
                    " backup was restored, first run manage.py restore_events"
                    " (docs/runbook.md, 'The database is lost')"
                )
        except SealError:
            if AuditSeal.objects.filter(pk=seal.number).exists():
                return []
            raise
        if not record_seal(seal, list(lines), self.store):
            return []
        logger.warning("seal=%s was only in the bucket; recorded now", seal.number)
        return [Sealed(seal.number, len(lines), is_recovered=True)]
