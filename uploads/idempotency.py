"""Idempotency keys: the id of a key's upload, and how long one attempt can take.

Follows draft-ietf-httpapi-idempotency-key-header-07. A key belongs to one actor, and is
kept permanently, with the record.

Three mechanisms prevent requests with the same key from making two uploads
(uploads.services):

- the row: scope and key are unique together, so that of two concurrent requests one
  writes the intent and the other finds it;
- the id: it is derived from scope and key, and the payload from the id. So each attempt
  sends the same bytes to the same object key, where `If-None-Match: *` accepts only the
  first. This holds even if the row is lost or another database is used, but only within
  one day (UTC), because the object key contains the date;
- the lease: a pending upload whose last attempt began longer ago than an attempt can
  take is attempted again. If the earlier attempt is still running after all, both send
  the same bytes to the same key.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.utils.crypto import salted_hmac

from uploads.storage import PART_BYTES, UploadStorage

#: Longest key, in characters.
MAX_KEY = 255
#: A lower bound of the rate at which payloads are generated.
_BYTES_PER_SECOND = 10 * 1024 * 1024
_DATABASE_SECONDS = 10
#: Printable ASCII and spaces, but no comma: servers and proxies join repeated headers
#: with one (RFC 9110, section 5.2), and a repeated Idempotency-Key is malformed.
_PLAIN = re.compile(r"[ -+\--~]+")
#: A string of RFC 8941, section 3.3.3: quoted; a backslash escapes a quote or itself.
_QUOTED = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A key of one actor; `scope` is the actor, so that actors may use equal keys."""

    scope: str
    key: str

    @property
    def upload_id(self) -> UUID:
        """The id of the upload under this key: a UUIDv8 (RFC 9562, section 5.8).

        An HMAC with SECRET_KEY, because ids are public: they must not reveal an
        anonymous actor's IP address, and no other actor may compute them in advance.
        After SECRET_KEY has changed, the row is still found by its scope and key.
        """
        text = json.dumps([self.scope, self.key])
        digest = salted_hmac("uploads.idempotency", text, algorithm="sha256").digest()
        number = int.from_bytes(digest[:16], "big")
        number = (number & ~(0xF << 76)) | (8 << 76)  # version 8
        number = (number & ~(0x3 << 62)) | (2 << 62)  # the variant of RFC 9562
        return UUID(int=number)


def parse_key(value: str) -> str | None:
    """Return the key in a header's value, or None if it is malformed.

    The draft requires quotes, as in a structured field, but most clients send none.
    Both forms are the same key.
    """
    value = value.strip(" \t")
    if value.startswith('"'):
        quoted = _QUOTED.fullmatch(value)
        if quoted is None:
            return None
        value = re.sub(r"\\(.)", r"\1", quoted[1])
    elif not _PLAIN.fullmatch(value):
        return None
    return value if 1 <= len(value) <= MAX_KEY else None


def fingerprint_of(size: int | None) -> str:
    """Return a digest of a request's body, to detect a key reused with another body."""
    body = {} if size is None else {"size": size}
    return hashlib.sha256(json.dumps(body).encode()).hexdigest()


def longest_attempt(size: int, storage: UploadStorage) -> timedelta:
    """Return how long one attempt to store `size` bytes can take.

    Each request is sent up to `max_attempts` times. A small upload takes one PUT. A
    multipart upload takes a request for each part and three more (create, complete,
    abort), and is itself repeated up to `max_attempts` times. A HEAD request may follow.
    Rather too long than too short: the PUT is counted for a multipart upload too.
    """
    store = storage.configuration
    attempts = store.max_attempts
    pauses = 0.1 * 2**attempts  # `StoreClient.with_retries` sleeps less in total
    per_request = attempts * (store.connect_timeout + store.read_timeout) + pauses
    multipart = 0 if size <= PART_BYTES else math.ceil(size / PART_BYTES) + 3
    put, head = 1, 1
    requesting = per_request * (put + attempts * multipart + head)
    generating = attempts * size / _BYTES_PER_SECOND
    return timedelta(seconds=requesting + generating + _DATABASE_SECONDS)
