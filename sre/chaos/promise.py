"""Checks the promise in bucket and database, without asking the service."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

from sre.lib.service import ROOT

#: What a fault may leave behind: an intent without a recorded outcome, and parts of
#: which no object came. No record mentions those parts.
_TRUTHFUL = {"pending and present", "pending and absent", "unfinished multipart upload"}


#: The body of an answer with status 201.
Created = Mapping[str, Any]


@dataclass
class Verdict:
    """What was found. Everything from `lost` on has to be zero, or empty."""

    kept: int = 0
    left_behind: dict[str, int] = field(default_factory=dict)
    #: Promised uploads whose object is missing or has another SHA-256, or whose record
    #: is not stored.
    lost: list[str] = field(default_factory=list)
    #: Records that were wrong before any repair.
    untruthful: dict[str, int] = field(default_factory=dict)
    objects_without_record: int = 0
    status_not_of_last_event: int = 0
    left_after_repair: dict[str, int] = field(default_factory=dict)
    audit: str = "not verified"

    @property
    def held(self) -> bool:
        return not (
            self.lost
            or self.untruthful
            or self.objects_without_record
            or self.status_not_of_last_event
            or self.left_after_repair
            or self.audit != "clean"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the findings by name."""
        return {name.replace("_", " "): value for name, value in asdict(self).items()}


def check(promised: Sequence[Created], environment: Mapping[str, str]) -> Verdict:
    """Reconcile, and compare everything with everything.

    Django has to be set up with the same environment. Raises `CalledProcessError`.
    """
    from uploads.models import Upload
    from uploads.services import PREFIX
    from uploads.storage import upload_storage

    verdict = Verdict()
    verdict.left_behind = _reconcile(environment)
    verdict.untruthful = {
        word: count
        for word, count in verdict.left_behind.items()
        if word not in _TRUTHFUL
    }
    _reconcile(environment, "--fix")
    verdict.left_after_repair = _reconcile(environment)
    records = {
        key: (status, sha256)
        for key, status, sha256 in Upload.objects.values_list("key", "status", "sha256")
    }
    with ThreadPoolExecutor(8) as pool:
        digests = list(pool.map(_digest, (upload["key"] for upload in promised)))
    verdict.lost = [
        upload["key"]
        for upload, digest in zip(promised, digests, strict=True)
        if digest != upload["sha256"]
        or records.get(upload["key"]) != ("stored", upload["sha256"])
    ]
    verdict.kept = len(promised) - len(verdict.lost)
    verdict.objects_without_record = sum(
        listed.key not in records for listed in upload_storage().listing(PREFIX)
    )
    verdict.status_not_of_last_event = _status_not_of_last_event()
    verdict.audit = _audit(environment)
    return verdict


def _reconcile(environment: Mapping[str, str], *options: str) -> dict[str, int]:
    done = _manage(
        environment, "reconcile_uploads", "--json", "--min-age", "0s", *options
    )
    if done.returncode != 1:  # differences were found
        done.check_returncode()
    summary = json.loads(done.stdout.splitlines()[-1])
    return dict(summary["differences"])


def _digest(key: str) -> str:
    from uploads.exceptions import ObjectMissingError
    from uploads.storage import upload_storage

    try:
        return upload_storage().read_digest(key)[0]
    except ObjectMissingError:
        return ""


def _status_not_of_last_event() -> int:
    from uploads.models import Action, Upload, UploadEvent
    from uploads.transitions import STATUS_AFTER

    last: dict[Any, str] = {}
    for upload_id, action in (
        UploadEvent.objects.order_by("id").values_list("upload_id", "action").iterator()
    ):
        if action in STATUS_AFTER:  # a note leaves the status as it was
            last[upload_id] = STATUS_AFTER[Action(action)].value
    differing: Counter[bool] = Counter(
        last.get(upload_id) != status
        for upload_id, status in Upload.objects.values_list("id", "status").iterator()
    )
    return differing[True]


def _audit(environment: Mapping[str, str]) -> str:
    """Seal and verify; say "clean", or what was found."""
    for command in (("seal_audit",), ("verify_audit", "--json")):
        done = _manage(environment, *command)
        if done.returncode:
            said = (done.stdout + done.stderr)[-1000:]
            return f"{command[0]} ended with {done.returncode}: {said}"
    return "clean"


def _manage(
    environment: Mapping[str, str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run a management command as an operator would."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        env=dict(environment),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
