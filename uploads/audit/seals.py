"""Sealing: the events that no seal covers yet become a signed seal, and copies.

The order is bucket, then database, and the bucket decides. Whoever creates the object
of seal N first has made seal N; a sealer that finds it there without a row, because
another one is between the two steps or was interrupted there, finishes it from the
copy, if the copy is signed, continues the chain, and says of every event what the
database says. Otherwise it refuses and signs nothing over it. So sealers need no lock
to be safe: a session's advisory lock only spares them doing the work twice. No
transaction is open while the bucket is read or written.

What is unsealed is told by the events' own mark, not by their ids: an event whose
transaction commits late has a low id and is in the next seal all the same.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

from django.db import Error, IntegrityError, connection, transaction
from django.utils import timezone

from mirrorsite.database import reason
from uploads.audit import keys
from uploads.audit.canonical import (
    NO_SEAL,
    NotCanonicalError,
    Seal,
    format_time,
    parse_seal,
)
from uploads.audit.keys import SigningKey, TrustedKeys
from uploads.audit.log import write_transaction
from uploads.audit.seal_store import Copies
from uploads.audit.serialization import (
    UNREADABLE,
    announcing_seals,
    event_lines,
    readable_seals,
    require_database,
    row_of,
    seal_of,
)
from uploads.exceptions import (
    AuditKeyError,
    ObjectExistsError,
    ObjectMissingError,
    SealError,
    TrailUnavailableError,
)
from uploads.models import AuditSeal, UploadEvent

logger = logging.getLogger(__name__)

#: Events in one seal, some 5 MB of lines: what a sealer has in memory.
EVENTS_PER_SEAL = 10_000
#: Events compared with a copy by one query.
_PAIRS_AT_A_TIME = 500
#: Rounds for one number before other sealers are taken for a fault.
_MAX_IDLE_ROUNDS = 50
#: An arbitrary number that names the lock; other programs use others.
_ADVISORY_LOCK = 0x6D69_7272_6F72
#: How long a sealer waits for another one before it works beside it.
LOCK_WAIT_SECONDS = 60.0
_LOCK_POLL_SECONDS = 0.2
#: What tells more without writing anything: an event written now could take the number
#: of one that the bucket still has.
_LOOK = "manage.py verify_audit --record-nothing says more"


@dataclass(frozen=True, slots=True)
class Sealed:
    """One seal made or finished by a run."""

    number: int
    event_count: int
    finished: bool  # from the copy that an interrupted run left in the bucket


def seal_audit(
    *,
    copies: Copies | None = None,
    signing_key: SigningKey | None = None,
    trusted_keys: TrustedKeys | None = None,
    next_key: bytes | None = None,
    events_per_seal: int | None = None,
) -> list[Sealed]:
    """Seal every event that is visible now; without any, make one seal over none.

    Events that are written meanwhile may have to wait for the next run.

    `next_key` is a public key to announce in the first seal of the run; see
    `uploads.audit.rotation`.

    Raises `AuditKeyError` when there is no key to sign with, `SealError` when the
    bucket holds something that contradicts the database, `StoreError` when the store
    refuses or is away and `TrailUnavailableError` when the database is; what was
    begun then is finished by the next run.
    """
    sealer = _Sealer(copies, signing_key, trusted_keys, events_per_seal)
    try:
        with _sealing_lock():
            return _run(sealer, next_key)
    except Error as error:
        raise TrailUnavailableError(
            f"the database did not take the seal: {reason(error)}"
        ) from error


def _run(sealer: _Sealer, next_key: bytes | None) -> list[Sealed]:
    made: list[Sealed] = []
    idle_rounds, number = 0, 0
    while True:
        sealed = sealer.step(next_key, idle_is_welcome=not _any_new(made))
        if sealed is None:
            if _any_new(made):
                return made
            # Another sealer made this number; that the next one is sought is progress.
            idle_rounds = idle_rounds + 1 if sealer.number == number else 0
            number = sealer.number
            if idle_rounds > _MAX_IDLE_ROUNDS:
                raise SealError("other sealers take every number; are they ours?")
            continue
        made.append(sealed)
        if not sealed.finished:
            next_key = None
            if sealed.event_count < sealer.events_per_seal:
                # Nothing was left; what comes meanwhile is the next run's. Under load
                # something always does, and a run would never end.
                return made


def _any_new(made: list[Sealed]) -> bool:
    return any(not sealed.finished for sealed in made)


@contextmanager
def _sealing_lock() -> Iterator[None]:
    """Hold the session's advisory lock, or no lock when another sealer keeps it.

    It is polled, since a connection's lock_timeout would end a statement that waits.
    """
    held = _wait_for_lock()
    if not held:
        logger.warning(
            "another sealer has held the lock for %g s; sealing beside it",
            LOCK_WAIT_SECONDS,
        )
    try:
        yield
    finally:
        if held:
            _unlock()


def _wait_for_lock() -> bool:
    deadline = time.monotonic() + LOCK_WAIT_SECONDS
    while not _call("SELECT pg_try_advisory_lock(%s)"):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_LOCK_POLL_SECONDS)
    return True


def _unlock() -> None:
    try:
        _call("SELECT pg_advisory_unlock(%s)")
    except Error:
        # The end of the session releases it too.
        connection.close()


def _call(statement: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(statement, [_ADVISORY_LOCK])
        return bool(cursor.fetchone()[0])


class _Sealer:
    def __init__(
        self,
        copies: Copies | None,
        signing_key: SigningKey | None,
        trusted_keys: TrustedKeys | None,
        events_per_seal: int | None,
    ) -> None:
        key = signing_key or keys.configured_signing_key()
        if key is None:
            raise AuditKeyError(
                "there is no key to sign with: set AUDIT_SIGNING_KEY to the output of"
                " head -c 32 /dev/urandom | base64."
            )
        self.key = key
        self.trusted = trusted_keys or keys.configured_trusted_keys()
        self.copies = copies or Copies()
        self.events_per_seal = events_per_seal or EVENTS_PER_SEAL
        self.number = 0  # of the seal that the last step was about
        self._known_to = 0  # the chain's announcements are learnt up to this seal

    def step(self, next_key: bytes | None, *, idle_is_welcome: bool) -> Sealed | None:
        """Make or finish one seal; None when there is nothing, or another was faster."""
        previous = self._last()
        self.number = number = 1 if previous is None else previous.number + 1
        self._learn(number, previous)
        found = self.copies.first_seal(number)
        if found is not None:
            return self._finish(number, previous, found)
        if self.trusted.is_retired(self.key.id, number):
            raise AuditKeyError(
                f"key {self.key.id} was replaced and signs no more;"
                " set AUDIT_SIGNING_KEY to the key that took over."
            )
        ids, lines = self._gather()
        if not ids and next_key is None and not idle_is_welcome:
            return None
        seal = self.key.sign(
            Seal(
                number=number,
                sealed_at=format_time(timezone.now()),
                event_count=len(ids),
                first_event=ids[0] if ids else None,
                last_event=ids[-1] if ids else None,
                root=hashlib.sha256(lines).hexdigest(),
                previous=NO_SEAL if previous is None else previous.hash(),
                key_id=self.key.id,
                next_key=None if next_key is None else next_key.hex(),
            )
        )
        try:
            self.copies.put(seal, lines)
        except ObjectExistsError:
            return None  # the next step finds and finishes it
        return self._record(seal, ids, finished=False)

    def _last(self) -> Seal | None:
        """Return the database's last seal, which has to be the bucket's too.

        Anybody who may write to the database can add a row; nothing is to be signed
        that continues it, since that could never be taken back.
        """
        numbers = AuditSeal.objects.order_by("-number").values_list("number", flat=True)
        number = numbers.first()
        if number is None:
            return None
        row = dict(readable_seals(AuditSeal.objects.filter(number=number))).get(number)
        seal = None if row is None else seal_of(row)
        key = self.copies.seal_key(number)
        if seal is None or self.copies.first_seal(number) != seal.file_bytes():
            raise SealError(
                f"seal {number}, the last one in the database, is not what {key} in"
                f" the bucket says; {_LOOK}"
            )
        return seal

    def _learn(self, number: int, last: Seal | None) -> None:
        """Follow the announcements of keys up to a seal."""
        for seal in announcing_seals(number):
            if seal.number > self._known_to and self.trusted.judge(seal).is_good:
                self.trusted.learn(seal)
        # The first seal of an announced key retires the old one; only the last seals
        # can matter for the key that signs now.
        is_new = last is not None and last.number > self._known_to
        if last is not None and is_new and self.trusted.judge(last).is_good:
            self.trusted.learn(last)
        self._known_to = number - 1

    def _gather(self) -> tuple[list[int], bytes]:
        """Return ids and lines of unsealed events, as many as one seal takes."""
        unsealed = UploadEvent.objects.filter(seal=None)
        try:
            pairs = list(event_lines(unsealed, self.events_per_seal))
        except UNREADABLE:
            # Past as many as there are of them: they must not starve the others.
            ids = unsealed.order_by("id").values_list("id", flat=True).iterator()
            pairs = list(islice(_sealable(ids), self.events_per_seal))
        return [pair[0] for pair in pairs], b"".join(pair[1] for pair in pairs)

    def _finish(
        self, number: int, previous: Seal | None, found: bytes
    ) -> Sealed | None:
        """Record a seal that is in the bucket only, if it says what the database says."""
        key = self.copies.seal_key(number)
        try:
            seal = parse_seal(found)
        except NotCanonicalError as error:
            raise SealError(f"{key} in the bucket is no seal: {error}") from error
        judgement = self.trusted.judge(seal)
        if not judgement.key_is_known:
            raise SealError(f"{key} in the bucket names the unknown key {seal.key_id}")
        if not judgement.signature_is_valid:
            raise SealError(f"{key} in the bucket has a forged signature")
        if seal.number != number:
            raise SealError(f"{key} in the bucket is seal {seal.number}")
        if seal.previous != (NO_SEAL if previous is None else previous.hash()):
            raise SealError(
                f"{key} in the bucket does not continue the database's last seal"
            )
        try:
            ids = self._events_of(seal)
        except SealError:
            if AuditSeal.objects.filter(pk=number).exists():
                return None  # another sealer recorded it while we compared
            raise
        logger.warning("seal=%s was in the bucket only; recorded from there", number)
        return self._record(seal, ids, finished=True)

    def _events_of(self, seal: Seal) -> list[int]:
        """Return the ids in a seal's copy; raises `SealError` unless all agree."""
        key = self.copies.events_key(seal)
        try:
            content = b"".join(self.copies.events(seal))
        except ObjectMissingError as error:
            raise SealError(f"{key} is not in the bucket") from error
        if hashlib.sha256(content).hexdigest() != seal.root:
            raise SealError(f"{key} in the bucket is not what was sealed")
        lines = content.splitlines(keepends=True)
        ids = [int(json.loads(line)["id"]) for line in lines]
        pairs = list(zip(ids, lines, strict=True))
        for start in range(0, len(pairs), _PAIRS_AT_A_TIME):
            wanted = dict(pairs[start : start + _PAIRS_AT_A_TIME])
            events = UploadEvent.objects.filter(pk__in=list(wanted), seal=None)
            for event_id, line in event_lines(events):
                if wanted.pop(event_id) != line:
                    raise SealError(
                        f"event {event_id} differs from what seal {seal.number} in the"
                        f" bucket says; {_LOOK}"
                    )
            if wanted:
                raise SealError(
                    f"event {min(wanted)}, of seal {seal.number} in the bucket, is not"
                    f" in the database, or under another seal; {_LOOK}. After an older"
                    " backup was restored, first bring the events back:"
                    " docs/runbook.md, 'The database is gone'"
                )
        return ids

    def _record(self, seal: Seal, ids: list[int], *, finished: bool) -> Sealed | None:
        """Write the row and mark the events, unless another sealer has done so."""
        with write_transaction():
            try:
                with transaction.atomic():
                    row_of(seal, self.copies).save()
            except IntegrityError:
                if AuditSeal.objects.filter(pk=seal.number).exists():
                    return None
                raise
            marked = _mark(seal.number, ids)
            if marked != len(ids):
                raise SealError(
                    f"{len(ids) - marked} events of seal {seal.number} changed while"
                    f" it was written; {_LOOK}"
                )
        return Sealed(seal.number, len(ids), finished)


def _sealable(ids: Iterable[int]) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of events one by one, without those that have none.

    Such an event is not ours: the trail writes none. It must not stop the seals of the
    others, and stays unsealed for verify_audit to name.
    """
    for event_id in ids:
        try:
            yield from event_lines(UploadEvent.objects.filter(pk=event_id))
        except UNREADABLE as error:
            require_database(error)
            logger.error("event=%s cannot be sealed: %s", event_id, error)


def _mark(number: int, ids: list[int]) -> int:
    """Set `seal` on unsealed events, the one change they take; return how many."""
    if not ids:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE uploads_uploadevent SET seal_id = %s"
            " WHERE id = ANY(%s) AND seal_id IS NULL",
            [number, ids],
        )
        return int(cursor.rowcount)
