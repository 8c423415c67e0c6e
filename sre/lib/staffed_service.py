"""A service of its own with staff to log in as, for browsers to look at."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sre.lib.object_store import ObjectStore
from sre.lib.postgres import temporary_postgres
from sre.lib.service import Service
from uploads.audit.keys import SigningKey

ROOT = Path(__file__).resolve().parent.parent.parent
BUCKET = "mirrorsite-uploads"
#: User names and the groups they are in; the first is a superuser.
STAFF = {"admin": "", "auditor": "auditors", "operator": "operators", "outsider": ""}

_MAKE_STAFF = """
import json, os, sys
from django.contrib.auth.models import Group, User
for name, group in json.loads(sys.stdin.read()).items():
    user = User.objects.create_user(
        name, password=os.environ["STAFF_PASSWORD"], is_staff=True,
        is_superuser=name == "admin",
    )
    if group:
        user.groups.add(Group.objects.get(name=group))
"""


@dataclass(frozen=True, slots=True)
class StaffedService:
    """A running service: its address, its environment, and its staff's password."""

    url: str
    environment: dict[str, str]
    password: str
    signing_key: str

    def manage(self, *arguments: str, text: str = "") -> None:
        """Run a management command on its database; raises CalledProcessError."""
        _manage(self.environment, *arguments, text=text)

    def seal(self) -> None:
        """Seal what happened until now; only this is given the private key."""
        _manage(
            {**self.environment, "AUDIT_SIGNING_KEY": self.signing_key}, "seal_audit"
        )


@contextmanager
def staffed_service(
    directory: Path, store: ObjectStore, bucket: str = BUCKET
) -> Iterator[StaffedService]:
    """Prepare database, bucket, static files and staff; run gunicorn."""
    with temporary_postgres(fsync=False) as database_url:
        yield from _staffed(directory, store, bucket, database_url)


def _staffed(
    directory: Path, store: ObjectStore, bucket: str, database_url: str
) -> Iterator[StaffedService]:
    key = SigningKey.generate()
    password = secrets.token_urlsafe(12)
    environment = {
        **os.environ,
        **store.environment(bucket),
        "DJANGO_SETTINGS_MODULE": "mirrorsite.settings",
        "SECRET_KEY": secrets.token_urlsafe(50),
        "DATABASE_URL": database_url,
        "STATIC_ROOT": str(directory / "static"),
        "HTTPS_ONLY": "false",
        "STAFF_PASSWORD": password,
        "METRICS_BIND": "off",
        "AUDIT_PUBLIC_KEYS": key.public_text(),
    }
    _manage(environment, "migrate", "-v0")
    _manage(environment, "collectstatic", "--no-input", "-v0")
    _manage(environment, "ensure_bucket")
    _manage(environment, "shell", "-v0", "-c", _MAKE_STAFF, text=json.dumps(STAFF))
    service = Service(environment, log=directory / "service.log")
    service.start()
    try:
        yield StaffedService(service.url, environment, password, key.secret_text())
    finally:
        service.stop()


def _manage(environment: dict[str, str], *arguments: str, text: str = "") -> None:
    subprocess.run(
        [sys.executable, "manage.py", *arguments],
        env=environment,
        cwd=ROOT,
        check=True,
        input=text,
        text=True,
        stdout=subprocess.DEVNULL,
    )
