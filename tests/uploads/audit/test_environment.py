"""What a start makes of the trail's variables."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings as django_settings

from tests.uploads.audit.trails import KEY
from uploads.audit.keys import SigningKey

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).parent.parent.parent.parent


def _starts(**values: str) -> str:
    """Return the last line of what a start with these variables prints."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "mirrorsite.settings",
        **values,
    }
    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr.strip().splitlines()[-1] if done.returncode else "ok"


class TestEnvironment:
    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: {"AUDIT_SIGNING_KEY": "x"}, "32 bytes in base64; set it to"),
            (
                lambda: {"AUDIT_PUBLIC_KEYS": "abc"},
                "AUDIT_PUBLIC_KEYS holds 'abc'; set each entry to <key id>:<32 bytes",
            ),
            (
                lambda: {"AUDIT_PUBLIC_KEYS": f"00{KEY.public_text()[2:]}"},
                f"whose id is {KEY.id}; set the entry to {KEY.id}:",
            ),
            (lambda: {"AUDIT_RETENTION_DAYS": "-1"}, "a whole number from 0 to 36500"),
        ],
    )
    def test_malformed(self, make, message):
        values = make()
        told = _starts(**values)
        assert message in told
        assert "x" not in values.values() or "'x'" not in told  # a secret is not shown

    def test_well_formed(self):
        other = SigningKey(b"o" * 32)
        public_keys = f"{KEY.public_text()}, {other.public_text()}"
        assert (
            _starts(AUDIT_SIGNING_KEY=KEY.secret_text(), AUDIT_PUBLIC_KEYS=public_keys)
            == "ok"
        )
        assert django_settings.AUDIT_RETENTION_DAYS == 365
