from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from io import StringIO

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

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

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("", "cannot be blank"),
            ("a\nb", "valid username"),
            ("n" * 200, "at most 150"),
            ("taken", "already exists"),
        ],
    )
    def test_name_refused(self, name, words):
        User.objects.create_user("taken")
        whole = f"{words}.*; no administrator was created"
        with pytest.raises(CommandError, match=whole):
            call_command("ensure_admin", "--name", name, stdout=StringIO())
        assert not User.objects.filter(is_superuser=True).exists()

    @pytest.mark.django_db(transaction=True)
    def test_two_at_once__one_created(self):
        def ensure(name: str) -> str:
            out = StringIO()
            try:
                call_command("ensure_admin", "--name", name, stdout=out, stderr=out)
            finally:
                connection.close()
            return out.getvalue()

        with ThreadPoolExecutor(3) as pool:
            told = list(pool.map(ensure, ["ann", "ann", "bob"]))
        assert sum("nothing changed" in text for text in told) == 2
        assert User.objects.count() == 1

    def test_output_full__no_administrator(self):
        """Nobody could know the password, and the next run would create none."""
        with pytest.raises(CommandError, match="no administrator was created"):
            call_command("ensure_admin", stdout=FullOutput())
        assert not User.objects.exists()
