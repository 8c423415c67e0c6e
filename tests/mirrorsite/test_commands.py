from __future__ import annotations

from io import StringIO

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError

from tests.outputs import FullOutput


@pytest.mark.django_db
class TestEnsureAdmin:
    def test_creates_once(self):
        out = StringIO()
        call_command("ensure_admin", "--name", "ann", stdout=out)
        name, password = (
            line.partition(": ")[2] for line in out.getvalue().splitlines()
        )
        assert name == "ann"
        user = authenticate(username=name, password=password)
        assert user is not None
        assert user.is_superuser

        again, told = StringIO(), StringIO()
        call_command("ensure_admin", stdout=again, stderr=told)
        assert again.getvalue() == ""
        assert "nothing changed" in told.getvalue()
        assert User.objects.count() == 1

    def test_output_full__no_administrator(self):
        """Nobody could know the password, and the next run would create none."""
        with pytest.raises(CommandError, match="no administrator was created"):
            call_command("ensure_admin", stdout=FullOutput())
        assert not User.objects.exists()
