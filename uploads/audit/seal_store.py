"""The copies in the bucket: a file of events and a file for each seal, written once.

`audit/seals/0000000012.json` is seal 12, and `audit/events/0000000012-<root>.jsonl` has
the lines of its events (an empty seal has no such file). The events are written first.
Their root is in the name, so that what an interrupted attempt left does not block a
later one. A seal's name has only the number, so the bucket accepts one seal per number.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Literal

from django.conf import settings
from django.utils import timezone

from uploads.audit.canonical import NO_EVENTS, Seal
from uploads.exceptions import ObjectMissingError, StoreRefusedError
from uploads.storage import (
    BytesPayload,
    ObjectVersions,
    UploadStorage,
    upload_storage,
)
from uploads.storage.errors import is_unreadable_object

logger = logging.getLogger(__name__)

PREFIX = "audit/"
#: Larger than any seal, and the size of the chunks that are read: an object with a seal's
#: name could have gigabytes.
_MAX_SEAL_BYTES = 16 * 1024
_NAMES = {
    "seals": re.compile(r"seals/([0-9]{10})\.json"),
    "events": re.compile(r"events/([0-9]{10})-[0-9a-f]{64}\.jsonl"),
}


class SealStore:
    """The audit trail's objects in the bucket; `prefix` ends in a slash.

    Its methods raise `StoreError`, as the storage does.
    """

    def __init__(
        self, storage: UploadStorage | None = None, prefix: str = PREFIX
    ) -> None:
        self.storage = storage or upload_storage()
        self.prefix = prefix

    def seal_object_key(self, number: int) -> str:
        return f"{self.prefix}seals/{number:010d}.json"

    def events_object_key(self, seal: Seal) -> str:
        return f"{self.prefix}events/{seal.number:010d}-{seal.root}.jsonl"

    def locked_until(self) -> datetime | None:
        """Return when the lock of a new copy ends; None to request no lock.

        With AUDIT_RETENTION_DAYS=0 the bucket's default retention applies.
        """
        days: int = settings.AUDIT_RETENTION_DAYS
        if not days or not self.storage.has_object_lock():
            return None
        return timezone.now() + timedelta(days=days)

    def put(self, seal: Seal, events: bytes) -> None:
        """Write the events and then the seal; identical objects count as written.

        Raises `ObjectExistsError` when another seal has the number, or when the object
        of the events has other content: no sealer wrote it, as its name contains the root.
        """
        locked_until = self.locked_until()
        if seal.root != NO_EVENTS:
            self.storage.put_new(
                self.events_object_key(seal),
                BytesPayload(events, "application/jsonl"),
                {},
                locked_until=locked_until,
            )
        self.storage.put_new(
            self.seal_object_key(seal.number),
            BytesPayload(seal.file_bytes(), "application/json"),
            {},
            locked_until=locked_until,
        )

    def seal(self, number: int, version_id: str = "") -> bytes | None:
        """Return the content of a seal's copy, or None when there is none.

        Only the beginning of a copy that is too long for a seal is returned.
        """
        key = self.seal_object_key(number)
        try:
            read = self.storage.read(key, _MAX_SEAL_BYTES, version_id)
            chunks = _readable(key, read)
            # A seal is one chunk. Asking the iterator for a second one reads to the end of
            # the answer, which frees the connection.
            return b"".join(islice(chunks, 2))
        except ObjectMissingError:
            return None

    def oldest_version_of_seal(self, number: int) -> bytes | None:
        """Return the oldest version of a seal's copy, or None when there is none.

        In a versioned bucket `seal` returns the newest version, or None for a delete
        marker; a sealer that relied on it would sign a second seal with this number.
        """
        # No id if it was never overwritten or deleted: then there is one version at most.
        version_id = self.storage.oldest_version_id(self.seal_object_key(number))
        return self.seal(number, version_id or "")

    def events(self, seal: Seal, version_id: str = "") -> Iterator[bytes]:
        """Yield the content of the events' copy; raises `ObjectMissingError`."""
        if seal.root == NO_EVENTS:
            return iter(())
        key = self.events_object_key(seal)
        return _readable(key, self.storage.read(key, version_id=version_id))

    def oldest_version_of_events(self, seal: Seal) -> Iterator[bytes]:
        """Like `events`, for the oldest version, which newer ones may hide."""
        version_id = self.storage.oldest_version_id(self.events_object_key(seal))
        return self.events(seal, version_id or "")

    def listed(
        self, folder: Literal["seals", "events"]
    ) -> Iterator[tuple[int | None, ObjectVersions]]:
        """Yield the seal's number and the versions of each object in a folder.

        The number is None if the object's name is not that of a copy. There can be more
        copies of events than seals: interrupted attempts leave some.
        """
        for versions in self.storage.versions(f"{self.prefix}{folder}/"):
            match = _NAMES[folder].fullmatch(versions.key.removeprefix(self.prefix))
            yield int(match[1]) if match else None, versions


def _readable(key: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield an object's bytes; none if it was archived, or encrypted with another key.

    The caller then reports that it is not what was sealed; an error would end the
    verification of all other copies.
    """
    try:
        yield from chunks
    except StoreRefusedError as error:
        if not is_unreadable_object(error):
            raise
        logger.error("key=%s cannot be read: %s", key, error)
