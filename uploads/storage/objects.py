"""Values that describe objects in the bucket. No request is made here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """An object in the bucket."""

    size: int
    sha256: str
    etag: str
    version_id: str
    metadata: Mapping[str, str]
    #: The source of the SHA-256: "store" if the store computed it, "metadata" if the
    #: object's writer stated it; empty when there is none.
    sha256_source: str = ""
    #: None in the answer to a PUT, which does not contain it.
    last_modified: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedObject:
    """An object in a listing: no checksum, no metadata."""

    key: str
    size: int
    etag: str
    last_modified: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MultipartUpload:
    """A multipart upload that is neither completed nor aborted."""

    key: str
    upload_id: str
    initiated_at: datetime


@dataclass(frozen=True, slots=True)
class ObjectVersions:
    """The oldest version of a key, and the number of its versions and delete markers.

    `oldest_id` is empty if the key has only delete markers.
    """

    key: str
    oldest_id: str
    count: int

    @property
    def is_single(self) -> bool:
        """True if the object is as it was first written."""
        return self.count == 1 and bool(self.oldest_id)


def versions_in_order(
    pages: Iterable[Mapping[str, Any]],
) -> Iterator[ObjectVersions]:
    """Yield each key of ListObjectVersions pages with its oldest version, in key order.

    S3 lists a key's versions newest first, so the last one read is the oldest.
    """
    oldest_ids: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for page in pages:
        for entry in page.get("Versions", ()):
            # A version written before the bucket had versioning has the id "null".
            oldest_ids[entry["Key"]] = entry.get("VersionId") or "null"
            counts[entry["Key"]] += 1
        for entry in page.get("DeleteMarkers", ()):
            counts[entry["Key"]] += 1
        # Not the last key: its versions may continue on the next page.
        for key in sorted(counts)[:-1]:
            yield ObjectVersions(key, oldest_ids.pop(key, ""), counts.pop(key))
    for key, count in counts.items():
        yield ObjectVersions(key, oldest_ids.get(key, ""), count)
