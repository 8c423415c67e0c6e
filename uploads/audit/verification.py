"""Verification: compares the database, the seals, their signatures and the copies.

It checks these rules, which the code names by their numbers. A fault does not end the
verification; all faults are collected, in bounded memory:

1. The numbers of the seals have no gap, in the database and in the bucket.
2. Each copy in the bucket was written once, and each seal signed by a trusted key.
3. Each row is equal to its signed copy; a row without a copy has a valid signature.
4. Each seal has the hash of the one before it.
5. The events under a seal have the root, the count and the first and last id that it
   signs (`events_check`).
6. No event is under a seal that does not cover it, has the id of another one, or has
   been unsealed for too long.
7. The last seal is recent.
8. Each row that is computed from events matches them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Generator
from contextlib import closing
from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from uploads.audit import keys
from uploads.audit.canonical import (
    NO_SEAL,
    Seal,
    format_time,
    parse_canonical_time,
)
from uploads.audit.chain import (
    missing_or_sealed,
    read_seal_and_learn_keys,
    sealed_lines,
    verified_seal,
)
from uploads.audit.events_check import EventsCheck, outer_join
from uploads.audit.keys import TrustedKeys
from uploads.audit.log import database_errors
from uploads.audit.models import AuditSeal, UploadEvent
from uploads.audit.report import FaultKind, Report, projections
from uploads.audit.seal_store import SealStore
from uploads.audit.serialization import readable_lines, readable_seals, seal_of
from uploads.exceptions import SealError
from uploads.storage import ObjectVersions

#: How long an event may be unsealed, and how old the last seal may be.
SEALING_GRACE = timedelta(minutes=5)

logger = logging.getLogger(__name__)


def verify_audit(
    *,
    store: SealStore | None = None,
    trusted_keys: TrustedKeys | None = None,
    since: int | datetime | None = None,
    grace: timedelta = SEALING_GRACE,
    read_copies: bool = True,
    now: datetime | None = None,
    on_progress: Callable[[Report], None] = lambda report: None,
) -> Report:
    """Compare the database with the signed seals and their copies; change nothing.

    `since` is the number of the first seal to check, or a point in time; only uploads
    with an event from there on are checked. `grace` is how long an event may stay
    unsealed, how old the last seal may be, and how far a clock may be ahead.

    Without `read_copies` the bucket is not read: the report cannot name the events that
    differ. Seals that only the bucket has are not seen; the only sign of them is that
    the last seal is too old.

    Raises `AuditKeyError` without a trusted key, `StoreError`, and
    `TrailUnavailableError`.
    """
    trusted = trusted_keys or keys.configured_trusted_keys()
    now = now or timezone.now()
    verifier = _Verifier(store or SealStore(), trusted, now, grace, read_copies)
    with database_errors("the audit trail could not be read from the database"):
        try:
            verifier.run(since, on_progress)
        except (ArithmeticError, AttributeError, TypeError, ValueError) as error:
            # For example after a change of a column's type.
            logger.exception("verification stopped")
            detail = f"verification stopped at a value that cannot be read: {error}"
            verifier.report.add(FaultKind.CHANGED, "the tables", detail)
    return verifier.report


class _Verifier:
    """Checks the seals in order, and collects faults in `report`."""

    def __init__(
        self,
        store: SealStore,
        trusted: TrustedKeys,
        now: datetime,
        grace: timedelta,
        read_copies: bool,
    ) -> None:
        self.store = store
        self.trusted = trusted
        # The last seal and all unsealed events must be dated between these. The later
        # limit allows for clocks that are ahead by up to `grace`.
        self.earliest_time, self.latest_time = now - grace, now + grace
        self.read_copies = read_copies
        self.report = Report()
        self.events = EventsCheck(self.report, store if read_copies else None)
        self._last_sealed_at: datetime | None = None
        #: Numbers of seals that are only in the bucket; their events were checked.
        self._without_row: set[int] = set()
        #: Numbers of seals whose rows in the database cannot be read.
        self._unreadable: set[int] = set()

    def run(
        self, since: int | datetime | None, on_progress: Callable[[Report], None]
    ) -> None:
        """Check everything from `since` on; call `on_progress` after each seal or page."""
        first = _first_number(since)
        previous_hash = self._begin_at(first)
        last = first - 1
        # Closed here: the garbage collector might close the cursor while this thread
        # executes another statement. The thread then holds psycopg's lock already, and
        # would wait for itself forever.
        with (
            closing(self._rows(first)) as rows,
            closing(self._listed(first)) as copies,
        ):
            for number, row, versions in outer_join(rows, copies):
                # Rule 1: no gap, and no number twice.
                if number == last:
                    self._add(FaultKind.INVENTED, number, "it has more than one row")
                    continue
                if number > last + 1:
                    first_missing, last_missing = last + 1, number - 1
                    subject = (
                        f"seal {first_missing}"
                        if first_missing == last_missing
                        else f"seals {first_missing} to {last_missing}"
                    )
                    detail = (
                        "neither in the database nor in the bucket"
                        if self.read_copies
                        else "not in the database"
                    )
                    self.report.add(FaultKind.MISSING, subject, detail)
                    previous_hash = None  # nothing to compare with
                # Rules 2 to 5: the copy, the row, the chain and the events.
                previous_hash = self._check_seal(number, row, versions, previous_hash)
                last = number
                on_progress(self.report)
        # Rules 6 and 7: events outside of seals, and the age of the last seal.
        self.events.check_dangling(first, excluding=self._without_row)
        if first <= 1:  # only in a full run: `check_twins` reads the whole table
            self.events.check_twins()
        self.events.report_differences()  # those of rule 5, too
        self._check_unsealed()
        self._check_last_seal()
        # Rule 8: rows match their events. Without `since` all uploads are checked, even
        # those without events.
        projected_since = None if since is None else first
        for projection in projections:
            for _ in projection.check(self.report, since=projected_since):
                on_progress(self.report)

    def _add(self, kind: FaultKind, number: int, detail: str) -> None:
        self.report.add(kind, f"seal {number}", detail)

    def _begin_at(self, first: int) -> str | None:
        """Learn the keys announced before seal `first`, where the check begins.

        Return the `previous` that this seal must have, or None if that is unknown.
        """
        if first <= 1:
            return NO_SEAL
        number = first - 1
        seal = read_seal_and_learn_keys(number, self.trusted)
        if seal is not None:
            return seal.hash()
        # Reported although this seal is before `first`: its time cannot be read, so if
        # `since` is a time, the seal may have been made after `since`.
        if AuditSeal.objects.filter(number=number).exists():
            self._add(FaultKind.CHANGED, number, "its row cannot be read")
        else:
            self._add(
                FaultKind.MISSING,
                number,
                "not in the database; the check begins after it",
            )
        return None

    def _rows(self, first: int) -> Generator[tuple[int, AuditSeal | None]]:
        """Yield the number and row of each seal in the database, None if unreadable.

        Reports unreadable rows, and numbers that no seal can have.
        """
        # The sealer counts from 1; null is possible only if the primary key was dropped.
        invalid = Q(number__lt=1) | Q(number__isnull=True)
        rows = AuditSeal.objects.filter(invalid).order_by("number")
        for number in rows.values_list("number", flat=True).iterator():
            self._add(FaultKind.INVENTED, number, "seal numbers count from 1")
        for number, row in readable_seals(AuditSeal.objects.filter(number__gte=first)):
            if row is None:
                self._unreadable.add(number)
                self._add(FaultKind.CHANGED, number, "its row cannot be read")
            yield number, row

    def _listed(self, first: int) -> Generator[tuple[int, ObjectVersions]]:
        """Yield number and versions of each seal in the bucket; report other objects."""
        if not self.read_copies:
            return
        # Rule 2: copies are written once. `EventsCheck` reads the content of events' copies.
        for number, versions in self.store.listed("events"):
            subject = f"object {versions.key}"
            if number is None:
                detail = "its name is not that of a copy of events"
                self.report.add(FaultKind.INVENTED, subject, detail)
            elif number >= first and not versions.is_single:
                detail = "overwritten or deleted; it has other versions"
                self.report.add(FaultKind.COPY_DIFFERS, subject, detail)
        for number, versions in self.store.listed("seals"):
            if number is None or number < 1:
                subject, detail = f"object {versions.key}", "its name is not a seal's"
                self.report.add(FaultKind.INVENTED, subject, detail)
            elif number >= first:
                yield number, versions

    def _check_seal(
        self,
        number: int,
        row: AuditSeal | None,
        versions: ObjectVersions | None,
        previous_hash: str | None,
    ) -> str | None:
        """Check one seal and its events; return the `previous` that the next must have."""
        # Rule 2: the copy is signed, and was written once.
        copy = self._copied_seal(number, versions)
        # Rule 3: the row is equal to the copy.
        recorded: Seal | None = None
        if row is not None:
            recorded = seal_of(row)
            self._check_row(row, recorded, copy)
        # The copy takes precedence: the bucket accepts each seal number only once.
        if copy is not None:
            seal = copy
        elif recorded is not None and self.trusted.fault_of(recorded) is None:
            seal = recorded
        else:
            # Neither is valid; the next seal is compared with the row, if there is one.
            return recorded.hash() if recorded is not None else None
        if row is None and number not in self._unreadable:
            if not self._report_if_lost(seal):
                # A sealer has recorded it since, or still can: the next run checks it.
                return seal.hash()
            self._without_row.add(number)
        # Rule 4: the seal continues the chain.
        if previous_hash is not None and seal.previous != previous_hash:
            detail = f"does not continue seal {number - 1}"
            self._add(FaultKind.BROKEN_CHAIN, number, detail)
        self.trusted.learn(seal)
        self._last_sealed_at = parse_canonical_time(seal.sealed_at)
        self.report.seals += 1
        # Rule 5: its events have the root that it signs.
        self.events.check(seal)
        return seal.hash()

    def _copied_seal(self, number: int, versions: ObjectVersions | None) -> Seal | None:
        """Return the seal in the bucket, None if it is invalid; report a bad copy.

        If the copy was overwritten or deleted, which is a fault, its oldest version is
        returned if there is one. `versions` is None if the listing did not have the copy.
        """
        if not self.read_copies:
            return None
        has_more_versions = versions is not None and not versions.is_single
        content = self.store.seal(number)
        if content is None:
            key = self.store.seal_object_key(number)
            self._add(FaultKind.COPY_MISSING, number, f"no object {key}")
        elif has_more_versions:
            self._add(FaultKind.COPY_DIFFERS, number, "the object was overwritten")
        if versions is not None and has_more_versions:
            # Without an id, only delete markers are left.
            oldest_id = versions.oldest_id
            content = self.store.seal(number, oldest_id) if oldest_id else None
        if content is None:
            return None
        try:
            return verified_seal(content, number, self.trusted)
        except SealError as error:
            self._add(FaultKind.COPY_DIFFERS, number, f"the object {error}")
            return None

    def _check_row(self, row: AuditSeal, recorded: Seal, copy: Seal | None) -> None:
        """Compare a seal's row with its copy; without a copy, check its signature."""
        expected_key = self.store.seal_object_key(row.number)
        if row.object_key != expected_key:
            self._add(
                FaultKind.CHANGED, row.number, f"object_key is not {expected_key}"
            )
        fault = self.trusted.fault_of(recorded)
        changed: list[str] = []
        if copy is not None:
            changed = [
                name
                for name in Seal.__dataclass_fields__
                if getattr(recorded, name) != getattr(copy, name)
            ]
        # An invalid signature is reported as such (below) if nothing else differs.
        only_signature_is_invalid = changed == ["signature"] and fault is not None
        if changed and not only_signature_is_invalid:
            self._add(
                FaultKind.CHANGED,
                row.number,
                f"differs from its signed copy in {', '.join(changed)}",
            )
        elif fault == FaultKind.UNKNOWN_KEY:
            self._add(fault, row.number, f"key {recorded.key_id} is not trusted")
        elif fault is not None:
            self._add(fault, row.number, f"not signed by key {recorded.key_id}")

    def _report_if_lost(self, seal: Seal) -> bool:
        """Return True, and report the seal, if the row of a signed seal is lost.

        It is not lost if a sealer has recorded the seal since, or can still record it.
        """
        is_last = not AuditSeal.objects.filter(number__gt=seal.number).exists()
        is_recent = parse_canonical_time(seal.sealed_at) > self.earliest_time
        if is_last and is_recent and self._is_unfinished(seal):
            return False
        # Only now, because a sealer may have recorded it during the checks above.
        if AuditSeal.objects.filter(pk=seal.number).exists():
            return False
        if is_last:
            detail = (
                f"signed and in the bucket, with {seal.event_count} events, but not in"
                " the database"
            )
            self._add(FaultKind.CUT_TAIL, seal.number, detail)
        else:
            detail = "in the bucket, but not in the database"
            self._add(FaultKind.MISSING, seal.number, detail)
        return True

    def _is_unfinished(self, seal: Seal) -> bool:
        """Return True if none of its events is sealed yet, so that it can be recorded."""
        try:
            return not missing_or_sealed(seal, sealed_lines(self.store, seal))
        except SealError:
            return False

    def _check_unsealed(self) -> None:
        """Report events that have been unsealed for too long, or that cannot be sealed."""
        # Rule 6: no event is unsealed for too long.
        unsealed = UploadEvent.objects.filter(seal=None)
        self.report.unsealed = unsealed.count()
        earliest = format_time(self.earliest_time)
        latest = format_time(self.latest_time)
        for event_id, line in readable_lines(unsealed):
            values = json.loads(line)
            if "unreadable" in values:  # the placeholder of `readable_lines`
                detail = f"cannot be sealed: {values['unreadable']}"
            elif values["at"] < earliest:
                detail = f"recorded at {values['at']} and not sealed yet"
            elif values["at"] > latest:
                detail = f"not sealed, and dated {values['at']}, in the future"
            else:
                continue
            self.report.add(FaultKind.UNSEALED, f"event {event_id}", detail)

    def _check_last_seal(self) -> None:
        # Rule 7: the last seal is recent.
        last = self._last_sealed_at
        if last is None:
            detail = "no valid seal was found"
        elif not self.earliest_time <= last <= self.latest_time:
            detail = f"the last seal was made at {last:%Y-%m-%d %H:%M:%S}Z"
        else:
            return
        self.report.add(FaultKind.SEALING_STOPPED, "the audit trail", detail)


def _first_number(since: int | datetime | None) -> int:
    """Return the number of the first seal to check."""
    if since is None:
        return 1
    if isinstance(since, int):
        return max(since, 1)
    # Only the numbers, because a row may be unreadable.
    numbers = AuditSeal.objects.filter(number__gte=1).values_list("number", flat=True)
    first = numbers.filter(sealed_at__gte=since).order_by("number").first()
    # At least the last seal is checked: its age shows whether sealing has stopped.
    return first or numbers.order_by("-number").first() or 1
