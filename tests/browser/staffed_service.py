"""A service of its own with staff to log in as, for browsers to look at."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sre.lib.stack import Stack, run
from uploads.audit.keys import SigningKey

#: User names and the groups they are in; the first is a superuser.
STAFF = {"admin": "", "auditor": "auditors", "operator": "operators", "outsider": ""}

_MAKE_STAFF = """
import os
from django.contrib.auth.models import Group, User
for name, group in {staff!r}.items():
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

    def manage(self, *arguments: str) -> None:
        """Run a management command on its database; raises CalledProcessError."""
        run(self.environment, "manage.py", *arguments)

    def seal(self) -> None:
        """Seal what happened until now; only this is given the private key."""
        environment = {**self.environment, "AUDIT_SIGNING_KEY": self.signing_key}
        run(environment, "manage.py", "seal_audit")


@contextmanager
def staffed_service(stack: Stack) -> Iterator[StaffedService]:
    """Prepare database, bucket, static files and staff; run the web server."""
    key = SigningKey.generate()
    password = secrets.token_urlsafe(12)
    environment = stack.environment(
        METRICS_BIND="off",
        STAFF_PASSWORD=password,
        AUDIT_PUBLIC_KEYS=key.public_text(),
    )
    run(environment, "manage.py", "migrate", "-v0")
    make_staff = _MAKE_STAFF.format(staff=STAFF)
    run(environment, "manage.py", "shell", "-v0", "-c", make_staff)
    with stack.service(environment) as service:
        yield StaffedService(service.url, environment, password, key.secret_text())
