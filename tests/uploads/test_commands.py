from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from moto import mock_aws

from tests.uploads.making import run


class TestEnsureBucket:
    def test_creates_once(self, make_storage):
        with mock_aws():
            make_storage()
            first, second = StringIO(), StringIO()
            call_command("ensure_bucket", stdout=first)
            call_command("ensure_bucket", stdout=second)
        assert first.getvalue() == "bucket mirrorsite-test: created\n"
        assert second.getvalue() == "bucket mirrorsite-test: exists\n"

    def test_dry_run(self, make_storage):
        with mock_aws():
            make_storage()
            missing = '{"bucket": "mirrorsite-test", "state": "missing"}\n'
            assert run("ensure_bucket", "--dry-run", "--json") == (1, missing)
            assert run("ensure_bucket")[0] == 0
            assert run("ensure_bucket", "--dry-run") == (
                0,
                "bucket mirrorsite-test: exists\n",
            )

    def test_store_away__status_2(self, make_storage):
        make_storage(endpoint_url="http://127.0.0.1:1", max_attempts=1)
        with pytest.raises(CommandError, match="object store is unreachable") as caught:
            call_command("ensure_bucket")
        assert caught.value.returncode == 2
