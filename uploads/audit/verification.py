"""Verification: database, seals, signatures and the copies against each other.

Everything is walked in order and in constant memory. Seals go first, each with its
events; then what waits for a seal; then the uploads against their events.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import Error
from django.utils import timezone

from mirrorsite.database import reason
from uploads.audit import keys, uploads_check
from uploads.audit.canonical import (
    NO_SEAL,
    NotCanonicalError,
    Seal,
    format_time,
    parse_seal,
    parse_time,
)
from uploads.audit.events_check import EventsCheck
from uploads.audit.keys import TrustedKeys
from uploads.audit.report import FaultKind, Report
from uploads.audit.seal_store import Copies
from uploads.audit.serialization import (
    announcing_seals,
    readable_lines,
    readable_seals,
    seal_of,
)
from uploads.exceptions import (
    AuditKeyError,
    TrailUnavailableError,
)
from uploads.models import AuditSeal, UploadEvent
from uploads.storage import ObjectVersions

#: A number with its row and its copy, as far as they are there.
_Found = tuple[int, AuditSeal | None, ObjectVersions | None]

#: How long an event may wait for its seal, and the last seal may be the last.
PATIENCE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Progress:
    """What has been looked at so far."""

    seals: int
    events: int
    uploads: int


def verify_audit(
    *,
    copies: Copies | None = None,
    trusted_keys: TrustedKeys | None = None,
    since: int | datetime | None = None,
    patience: timedelta = PATIENCE,
    read_copies: bool = True,
    now: datetime | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Report:
    """Compare the record with what was signed and copied; changes nothing.

    `since` is the number of the first seal to look at, or a point in time; uploads are
    then those with an event from there on. `patience` is how long an event may be
    unsealed as seen from `now`. Without `read_copies` the bucket is not asked: a difference is then found
    but the event not named, and a cut tail shows only as seals that stopped.

    Raises `AuditKeyError` without any trusted key, `StoreError` and
    `TrailUnavailableError` when bucket or database refuses or is away.
    """
    trusted = trusted_keys or keys.configured_trusted_keys()
    if not len(trusted):
        raise AuditKeyError(
            "no key is trusted: set AUDIT_PUBLIC_KEYS to <key id>:<base64>."
        )
    now = now or timezone.now()
    verifier = _Verifier(copies or Copies(), trusted, now, patience, read_copies)
    verifier.on_progress = on_progress or verifier.on_progress
    try:
        return verifier.run(since)
    except Error as error:
        raise TrailUnavailableError(
            f"the database cannot be used: {reason(error)}"
        ) from error


class _Verifier:
    def __init__(
        self,
        copies: Copies,
        trusted: TrustedKeys,
        now: datetime,
        patience: timedelta,
        read_copies: bool,
    ) -> None:
        self.copies = copies
        self.trusted = trusted
        self.limit = now - patience  # what was due before is late
        self.ahead = now + patience  # and no clock is wrong by so much
        self.read_copies = read_copies
        self.report = Report()
        self.events = EventsCheck(self.report, copies if read_copies else None)
        self.on_progress: Callable[[Progress], None] = lambda progress: None
        self._last_sealed_at: datetime | None = None
        #: Numbers of seals whose copy is all there is; their events were checked.
        self._without_row: set[int] = set()

    def run(self, since: int | datetime | None) -> Report:
        first = _first_number(since)
        previous = self._begin_at(first)
        last = first - 1
        for number, row, versions in self._seals(first):
            if number > last + 1:
                self._name_gap(last + 1, number - 1)
                previous = None  # nothing to compare with
            previous = self._check_seal(number, row, versions, previous)
            last = number
            self._tell()
        self._name_numberless()
        self.events.check_strays(first, but=self._without_row)
        self.events.name_differences()
        self._check_waiting()
        for count in uploads_check.check_uploads(
            self.report, since=None if since is None else first
        ):
            self.report.uploads = count
            self._tell()
        return self.report

    # --- Walking the seals -----------------------------------------------------------

    def _begin_at(self, first: int) -> str | None:
        """Follow the keys up to the first seal; return what it must call previous."""
        if first == 1:
            return NO_SEAL
        for seal in announcing_seals(first):
            if self.trusted.judge(seal).is_good:
                self.trusted.learn(seal)
        row = dict(readable_seals(AuditSeal.objects.filter(pk=first - 1))).get(
            first - 1
        )
        if row is None:
            return None
        seal = seal_of(row)
        if self.trusted.judge(seal).is_good:
            # Of an announced key, it has retired the one before.
            self.trusted.learn(seal)
        return seal.hash()

    def _seals(self, first: int) -> Iterator[_Found]:
        """Yield the numbers from `first` that database or bucket has, in order."""
        rows = readable_seals(AuditSeal.objects.filter(number__gte=first))
        listed = self._listed(first)
        row = next(rows, None)
        copy = next(listed, None)
        while row is not None or copy is not None:
            if row is None or (copy is not None and copy[0] < row[0]):
                assert copy is not None  # noqa: S101 one of the two is there
                yield copy[0], None, copy[1]
                copy = next(listed, None)
                continue
            number, seal = row
            if seal is None:
                self.report.add(
                    FaultKind.CHANGED, f"seal {number}", "its row cannot be read"
                )
            has_copy = copy is not None and copy[0] == number
            yield number, seal, copy[1] if copy is not None and has_copy else None
            if has_copy:
                copy = next(listed, None)
            row = next(rows, None)

    def _name_gap(self, first: int, last: int) -> None:
        subject = f"seal {first}" if first == last else f"seals {first} to {last}"
        where = "neither database nor bucket" if self.read_copies else "no row"
        self.report.add(FaultKind.MISSING, subject, where)

    def _name_numberless(self) -> None:
        """Name the rows of seals that have a number which no seal can have."""
        rows = AuditSeal.objects.filter(number__lt=1).order_by("number")
        for number in rows.values_list("number", flat=True).iterator():
            self.report.add(FaultKind.INVENTED, f"seal {number}", "they count from 1")

    def _listed(self, first: int) -> Iterator[tuple[int, ObjectVersions]]:
        if not self.read_copies:
            return
        for number, versions in self.copies.listed_seals():
            if number is None or number < 1:
                self.report.add(
                    FaultKind.INVENTED,
                    f"object {versions.key}",
                    "its name is no seal's",
                )
            elif number >= first:
                yield number, versions

    def _check_seal(
        self,
        number: int,
        row: AuditSeal | None,
        versions: ObjectVersions | None,
        previous: str | None,
    ) -> str | None:
        """Check one seal and its events; return what the next one must call previous."""
        recorded = None if row is None else seal_of(row)
        copy = self._copied_seal(number, versions)
        if recorded is not None and row is not None:
            self._check_row(row, recorded, copy)
        # The bucket lets a seal be written once, so its copy decides.
        if copy is not None:
            seal = copy
        elif recorded is not None and self.trusted.judge(recorded).is_good:
            seal = recorded
        else:
            # Nothing here can be trusted; the chain goes on from what is there.
            return recorded.hash() if recorded is not None else None
        if row is None:
            if not self._name_unrecorded(seal):
                return seal.hash()
            self._without_row.add(number)
        if previous is not None and seal.previous != previous:
            self.report.add(
                FaultKind.BROKEN_CHAIN,
                f"seal {number}",
                f"does not continue seal {number - 1}",
            )
        self.trusted.learn(seal)
        self._last_sealed_at = parse_time(seal.sealed_at)
        self.report.seals += 1
        self.events.check(seal)
        return seal.hash()

    # --- One seal --------------------------------------------------------------------

    def _copied_seal(self, number: int, versions: ObjectVersions | None) -> Seal | None:
        """Return the good seal in the bucket, if there is one; name what is not.

        What came over a copy later is named, and the copy is still read.
        """
        if not self.read_copies:
            return None
        subject = f"seal {number}"
        content = self.copies.seal(number)
        first = content
        if versions is not None and not versions.is_single:
            first = self.copies.version(versions)
        if content is None:
            key = self.copies.seal_key(number)
            self.report.add(FaultKind.COPY_MISSING, subject, f"no object {key}")
        elif content != first:
            self.report.add(
                FaultKind.COPY_DIFFERS, subject, "the object was written over"
            )
        if first is None:
            return None
        seal, complaint = self._judged(first, number)
        if complaint:
            self.report.add(FaultKind.COPY_DIFFERS, subject, complaint)
        return seal

    def _judged(self, content: bytes, number: int) -> tuple[Seal | None, str]:
        """Return a seal whose copy is good, or None and what is wrong with it."""
        try:
            seal = parse_seal(content)
        except NotCanonicalError as error:
            return None, f"the object is no seal: {error}"
        if seal.number != number:
            return None, f"the object is seal {seal.number}"
        judgement = self.trusted.judge(seal)
        if not judgement.key_is_known:
            return None, f"the object names the unknown key {seal.key_id}"
        if not judgement.signature_is_valid:
            return None, "the object's signature is forged"
        return seal, ""

    def _check_row(self, row: AuditSeal, recorded: Seal, copy: Seal | None) -> None:
        subject = f"seal {row.number}"
        expected_key = self.copies.seal_key(row.number)
        if row.object_key != expected_key:
            self.report.add(
                FaultKind.CHANGED, subject, f"object_key is not {expected_key}"
            )
        judgement = self.trusted.judge(recorded)
        changed = [] if copy is None else _differing_columns(recorded, copy)
        if changed and (changed != ["signature"] or judgement.is_good):
            self.report.add(
                FaultKind.CHANGED,
                subject,
                f"differs from its signed copy in {', '.join(changed)}",
            )
        elif judgement.is_good:
            return
        elif not judgement.key_is_known:
            self.report.add(
                FaultKind.UNKNOWN_KEY, subject, f"key {recorded.key_id} is not trusted"
            )
        else:
            self.report.add(
                FaultKind.FORGED_SIGNATURE,
                subject,
                f"not signed by key {recorded.key_id}",
            )

    def _name_unrecorded(self, seal: Seal) -> bool:
        """Name a signed seal without a row; False if the next run will finish it."""
        if AuditSeal.objects.filter(pk=seal.number).exists():
            return False  # recorded while we looked
        if AuditSeal.objects.filter(number__gt=seal.number).exists():
            self.report.add(
                FaultKind.MISSING, f"seal {seal.number}", "only its copy is there"
            )
            return True
        is_recent = parse_time(seal.sealed_at) > self.limit
        if is_recent and self.events.is_unfinished(seal):
            return False
        self.report.add(
            FaultKind.CUT_TAIL,
            f"seal {seal.number}",
            f"in the bucket, signed, with {seal.event_count} events,"
            " and not in the database",
        )
        return True

    # --- What waits --------------------------------------------------------------------

    def _check_waiting(self) -> None:
        unsealed = UploadEvent.objects.filter(seal=None)
        self.report.unsealed = unsealed.count()
        limit, ahead = format_time(self.limit), format_time(self.ahead)
        for event_id, line in readable_lines(unsealed):
            values = json.loads(line)
            if "unreadable" in values:
                detail = f"cannot be sealed: {values['unreadable']}"
            elif values["at"] < limit:
                detail = f"of {values['at']} waits for a seal"
            elif values["at"] > ahead:
                detail = f"of {values['at']}, which is still to come, has no seal"
            else:
                continue
            self.report.add(FaultKind.UNSEALED, f"event {event_id}", detail)
        last = self._last_sealed_at
        if last is None:
            self.report.add(
                FaultKind.SEALING_STOPPED, "the trail", "there is no seal to go by"
            )
        elif not self.limit <= last <= self.ahead:
            self.report.add(
                FaultKind.SEALING_STOPPED,
                "the trail",
                f"the last seal is of {last:%Y-%m-%d %H:%M:%S}Z",
            )

    def _tell(self) -> None:
        report = self.report
        self.on_progress(Progress(report.seals, report.events, report.uploads))


def _first_number(since: int | datetime | None) -> int:
    if since is None:
        return 1
    if isinstance(since, int):
        return max(since, 1)
    row = AuditSeal.objects.filter(sealed_at__gte=since).order_by("number").first()
    if row is not None:
        return row.number
    last = AuditSeal.objects.order_by("-number").first()
    # The last one at least: silence since then is for it to show.
    return 1 if last is None else last.number


def _differing_columns(recorded: Seal, copy: Seal) -> list[str]:
    return [
        name
        for name in Seal.__dataclass_fields__
        if getattr(recorded, name) != getattr(copy, name)
    ]
