"""Values that describe objects in the bucket. No request is made here."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

#: With both quotes or none; no longer than the column.
_ETAG = re.compile(r'"[!#-~]{1,128}"|[!#-~]{1,128}')
_VERSION = re.compile(r"[!-~]{0,1024}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """An object in the bucket."""

    size: int
    sha256: str
    etag: str
    version_id: str
    metadata: Mapping[str, str]
    #: Where the SHA-256 is from: "store" if the store computed it, "metadata" if the
    #: writer of the object put it there; empty when there is none.
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


def listed_object(entry: Mapping[str, Any]) -> ListedObject:
    return ListedObject(
        key=entry["Key"],
        size=entry["Size"],
        etag=entry["ETag"].strip('"'),
        last_modified=entry["LastModified"],
    )


def multipart_upload(entry: Mapping[str, Any]) -> MultipartUpload:
    return MultipartUpload(
        key=entry["Key"], upload_id=entry["UploadId"], begun=entry["Initiated"]
    )


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


def stored_object_from_head(answer: Mapping[str, Any]) -> StoredObject:
    """Read a HeadObject answer; raises what `etag_and_version` raises."""
    metadata = answer.get("Metadata", {})
    checksum = answer.get("ChecksumSHA256", "")
    # The composite checksum of a multipart upload (AWS: "…-<parts>") is no SHA-256 of
    # the content.
    if checksum and "-" not in checksum and answer.get("ChecksumType") != "COMPOSITE":
        digest = base64.b64decode(checksum, validate=True)
        if len(digest) != hashlib.sha256().digest_size:
            raise ValueError("no SHA-256")
        sha256, source = digest.hex(), "store"
    else:
        sha256 = metadata.get("sha256", "")
        source = "metadata" if sha256 else ""
    etag, version_id = etag_and_version(answer)
    return StoredObject(
        size=answer["ContentLength"],
        sha256=sha256,
        etag=etag,
        version_id=version_id,
        metadata=metadata,
        sha256_source=source,
        last_modified=answer.get("LastModified"),
    )


def etag_and_version(answer: Mapping[str, Any]) -> tuple[str, str]:
    """Return the ETag and version id of an answer.

    Raises `KeyError` or `ValueError` if S3 cannot have sent it: a connection that broke
    within the header section leaves half an ETag.
    """
    etag, version = answer["ETag"], answer.get("VersionId") or ""
    if not _ETAG.fullmatch(etag) or not _VERSION.fullmatch(version):
        raise ValueError("the ETag or version id is malformed")
    # Some buckets without versioning send the word null.
    return etag.strip('"'), "" if version == "null" else version
