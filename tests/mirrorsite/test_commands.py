from __future__ import annotations

from io import StringIO

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.core.management import call_command


@pytest.mark.django_db
class TestEnsureAdmin:
    def test_creates_once(self) -> None:
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
