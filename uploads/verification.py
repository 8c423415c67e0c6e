"""Looking at one object and recording what was seen."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

from uploads import trail
from uploads.exceptions import ObjectMissingError
from uploads.models import Action, Upload
from uploads.services import upload_storage
from uploads.trail import Caller

Method = Literal["head", "read"]


@dataclass(frozen=True, slots=True)
class Verification:
    """What a look at the bucket showed: the action recorded, and what differed."""

    action: Action
    differences: tuple[str, ...]


def verify_upload(
    upload: Upload, *, caller: Caller, method: Method = "head"
) -> Verification:
    """Compare the object with its record, and record `verified`, `missing` or `corrupted`.

    `head` asks the store for size and checksum; `read` reads and hashes the bytes.

    Raises `TransitionError` for an upload that is pending, failed or purged,
    `StoreError` when the store refuses or is away (nothing is recorded then), and
    `TrailUnavailableError`.
    """
    outcome = examine(upload, method=method)
    detail: dict[str, object] = {"method": method}
    if outcome.differences:
        detail["differences"] = list(outcome.differences)
    trail.record(upload, outcome.action, caller, detail=detail)
    return outcome


def examine(upload: Upload, *, method: Method) -> Verification:
    """Compare the object with its record; records nothing."""
    storage = upload_storage()
    try:
        found = storage.head(upload.key)
        digest, size = found.sha256, found.size
        if method == "read":
            hasher = hashlib.sha256()
            size = 0
            for chunk in storage.read(upload.key):
                hasher.update(chunk)
                size += len(chunk)
            digest = hasher.hexdigest()
    except ObjectMissingError:
        return Verification(Action.MISSING, ("the object is not in the bucket",))
    differences = []
    if size != upload.size:
        differences.append(f"size is {size}, recorded is {upload.size}")
    if digest != upload.sha256:
        differences.append(f"SHA-256 is {digest or 'unknown'}, not {upload.sha256}")
    if differences:
        return Verification(Action.CORRUPTED, tuple(differences))
    return Verification(Action.VERIFIED, ())
