"""Values that describe objects in the bucket. No request is made here."""

from __future__ import annotations

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
    begun: datetime


@dataclass(frozen=True, slots=True)
class ObjectVersions:
    """A key with its oldest version; `count` includes delete markers."""

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
    """Yield each key of ListObjectVersions pages with its oldest version, in order.

    S3 lists a key's versions newest first, so the last one read is the oldest.
    """
    found: dict[str, ObjectVersions] = {}
    for page in pages:
        for name in ("Versions", "DeleteMarkers"):
            for entry in page.get(name, ()):
                key = entry["Key"]
                version_id = entry.get("VersionId") or "null"
                oldest_id = version_id if name == "Versions" else ""
                so_far = found.get(key, ObjectVersions(key, "", 0))
                found[key] = ObjectVersions(
                    key, oldest_id or so_far.oldest_id, so_far.count + 1
                )
        # The versions of the last key may continue on the next page.
        last = max(found, default="")
        for key in sorted(found):
            if key < last:
                yield found.pop(key)
    yield from found.values()
