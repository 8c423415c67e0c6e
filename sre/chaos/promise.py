"""Check the promise in bucket and database, without asking the service."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sre.lib.service import ROOT

#: What a fault may leave behind: an intent without a recorded outcome, and parts of
#: which no object came. No record mentions those parts.
_TRUTHFUL = {"pending and present", "pending and absent", "unfinished multipart upload"}


def check(
    promised: Sequence[Mapping[str, Any]], environment: Mapping[str, str]
) -> dict[str, Any]:
    """Reconcile, compare everything with everything, and return the findings by name.

    `promised` are the bodies of the answers with status 201. Django has to be set up
    with the same environment. Raises `CalledProcessError`.
    """
    from uploads.models import Upload
    from uploads.services import PREFIX
    from uploads.storage import upload_storage

    left_behind = _reconcile(environment)
    _reconcile(environment, "--fix")
    left_after_repair = _reconcile(environment)
    records = {
        key: (status, sha256)
        for key, status, sha256 in Upload.objects.values_list("key", "status", "sha256")
    }
    with ThreadPoolExecutor(8) as pool:
        digests = list(pool.map(_digest, (upload["key"] for upload in promised)))
    lost = [
        upload["key"]
        for upload, digest in zip(promised, digests, strict=True)
        if digest != upload["sha256"]
        or records.get(upload["key"]) != ("stored", upload["sha256"])
    ]
    return {
        "kept": len(promised) - len(lost),
        "left behind": left_behind,
        # From here on all must be empty or zero, and the audit clean.
        "lost": lost,
        "untruthful": {
            kind: count for kind, count in left_behind.items() if kind not in _TRUTHFUL
        },
        "objects without record": sum(
            listed.key not in records for listed in upload_storage().listing(PREFIX)
        ),
        "left after repair": left_after_repair,
        "audit": _audit(environment),
    }


def held(found: Mapping[str, Any]) -> bool:
    """Return True if nothing that `check` found breaks the promise."""
    broken = ("lost", "untruthful", "objects without record", "left after repair")
    return found["audit"] == "clean" and not any(found[name] for name in broken)


def _reconcile(environment: Mapping[str, str], *options: str) -> dict[str, int]:
    done = _manage(
        environment, "reconcile_uploads", "--json", "--min-age", "0s", *options
    )
    if done.returncode != 1:  # 1 only means that differences were found
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
