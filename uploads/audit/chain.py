"""The chain of seals: the last one in the database, and the bucket's seals after it.

Sealing and restoring both continue from the database's last seal. Later seals are read
from the bucket; they must be signed by a trusted key and continue the chain.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import IntegrityError, transaction
from django.db.models import Q

from uploads.audit.canonical import (
    NO_SEAL,
    NotCanonicalError,
    Seal,
    parse_event_id,
    parse_seal,
)
from uploads.audit.keys import TrustedKeys
from uploads.audit.log import write_transaction
from uploads.audit.models import AuditSeal, UploadEvent
from uploads.audit.report import FaultKind
from uploads.audit.seal_store import SealStore
from uploads.audit.serialization import readable_lines, readable_seals, row_of, seal_of
from uploads.exceptions import ObjectMissingError, SealError

logger = logging.getLogger(__name__)

#: `--record-nothing`, because the check's own event could take a lost event's id.
HINT = "manage.py verify_audit --record-nothing shows more"


@contextmanager
def unreadable_values() -> Iterator[None]:
    """Raise `SealError` for a value that cannot be read.

    For example after a change of a column's type.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, TypeError, ValueError) as error:
        logger.exception("a value cannot be read")
        raise SealError(f"a value cannot be read: {error}; {HINT}") from error


class Chain:
    """Reads the chain forwards; adds to `trusted` the keys that its seals announce."""

    def __init__(self, store: SealStore, trusted: TrustedKeys) -> None:
        self.store = store
        self.trusted = trusted
        #: Number and hash of the last seal that was read.
        self.number, self.hash = 0, NO_SEAL

    def load(self) -> None:
        """Continue after the database's last seal.

        Raises `SealError` unless the oldest version of its copy is identical: otherwise
        the next seal could irrevocably confirm a forged row.
        """
        # A null number, possible only if the primary key was dropped, would come first.
        rows = AuditSeal.objects.filter(number__isnull=False).order_by("-number")
        number = rows.values_list("number", flat=True).first()
        if number is None:
            self.number, self.hash = 0, NO_SEAL
            return
        seal = read_seal_and_learn_keys(number, self.trusted, after=self.number)
        if (
            seal is None
            or self.store.oldest_version_of_seal(number) != seal.file_bytes()
        ):
            raise SealError(
                f"seal {number}, the last one in the database, differs from"
                f" its copy {self.store.seal_object_key(number)} in the bucket, or the"
                f" copy is missing; {HINT}"
            )
        self.number, self.hash = number, seal.hash()

    def next(self) -> Seal | None:
        """Return the bucket's next seal, None if there is none.

        Raises `SealError` unless it is signed by a trusted key and continues the chain.
        """
        number = self.number + 1
        content = self.store.oldest_version_of_seal(number)
        if content is None:
            return None
        object_key = self.store.seal_object_key(number)
        try:
            seal = verified_seal(content, number, self.trusted)
        except SealError as error:
            raise SealError(f"{object_key} in the bucket {error}") from error
        if seal.previous != self.hash:
            raise SealError(f"{object_key} in the bucket does not continue the chain")
        self.trusted.learn(seal)
        self.number, self.hash = number, seal.hash()
        return seal


def read_seal_and_learn_keys(
    number: int, trusted: TrustedKeys, *, after: int = 0
) -> Seal | None:
    """Return seal `number` of the database; None if its row is missing or unreadable.

    Add to `trusted` the keys that it, and the seals between `after` and it, announce.
    Seals between them that announce no key are skipped. So a replaced key may stay
    trusted for too long: it counts as retired only from the first seal read here that was
    signed with the new key.
    """
    announcing = Q(number__gt=after, number__lt=number) & ~Q(next_key="")
    seal = None
    for _, row in readable_seals(
        AuditSeal.objects.filter(announcing | Q(number=number))
    ):
        seal = None if row is None else seal_of(row)
        if seal is not None and trusted.fault_of(seal) is None:
            trusted.learn(seal)
    return seal if seal is not None and seal.number == number else None


def verified_seal(content: bytes, number: int, trusted: TrustedKeys) -> Seal:
    """Parse and verify the copy of seal `number`.

    Raises `SealError` with a message such as "is seal 5", for the caller to put after the
    copy's name.
    """
    try:
        seal = parse_seal(content)
    except NotCanonicalError as error:
        raise SealError(f"is not a seal: {error}") from error
    if seal.number != number:
        raise SealError(f"is seal {seal.number}")
    fault = trusted.fault_of(seal)
    if fault == FaultKind.UNKNOWN_KEY:
        raise SealError(f"names the unknown key {seal.key_id}")
    if fault is not None:
        raise SealError(f"has a {fault}")
    return seal


def sealed_lines(store: SealStore, seal: Seal) -> dict[int, bytes]:
    """Return the lines of a seal's events by id; raises `SealError` for a bad copy."""
    object_key = store.events_object_key(seal)
    try:
        content = b"".join(store.oldest_version_of_events(seal))
    except ObjectMissingError as error:
        raise SealError(f"{object_key} is not in the bucket") from error
    if hashlib.sha256(content).hexdigest() != seal.root:
        raise SealError(f"{object_key} in the bucket is not what was sealed")
    try:
        return {
            parse_event_id(line): line for line in content.splitlines(keepends=True)
        }
    except NotCanonicalError as error:
        raise SealError(f"{object_key} in the bucket is unusable: {error}") from error


def missing_or_sealed(seal: Seal, lines: dict[int, bytes]) -> list[int]:
    """Return the ids in a seal's copy for which the database has no unsealed event.

    The database lacks them, or has them under this seal or another one already. `lines`
    are those of the copy, by id. Raises `SealError` if an unsealed row differs from its
    line.
    """
    events = UploadEvent.objects.filter(pk__in=lines, seal=None)
    unsealed = dict(readable_lines(events))
    for event_id, line in unsealed.items():
        if line != lines[event_id]:
            raise SealError(
                f"event {event_id} differs from its copy in the bucket, under seal"
                f" {seal.number}; {HINT}"
            )
    return [event_id for event_id in lines if event_id not in unsealed]


def record_seal(seal: Seal, ids: list[int], store: SealStore) -> bool:
    """Write a seal's row and mark its events; return False if the row exists already.

    Raises `SealError` if an event is missing or under another seal, and
    `TrailUnavailableError`; in both cases nothing is written.
    """
    with write_transaction():
        try:
            with transaction.atomic():
                row_of(seal, store).save(force_insert=True)
        except IntegrityError:
            if AuditSeal.objects.filter(pk=seal.number).exists():
                return False
            raise
        unsealed = UploadEvent.objects.filter(pk__in=ids, seal=None)
        # The only update that the events' trigger allows.
        marked = unsealed.update(seal=seal.number)
        if marked != len(ids):
            raise SealError(
                f"events of seal {seal.number} changed while it was written; {HINT}"
            )
    return True
