from __future__ import annotations

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from tests.uploads.making import run


class TestEnsureBucket:
    def test_creates_once(self, other_bucket):
        name = other_bucket(exists=False).bucket_name
        assert run("ensure_bucket") == (0, f"bucket {name}: created\n")
        assert run("ensure_bucket") == (0, f"bucket {name}: exists\n")
        exists = f'{{"bucket": "{name}", "state": "exists"}}\n'
        assert run("ensure_bucket", "--json") == (0, exists)

    def test_store_away__status_2(self, make_storage):
        make_storage(endpoint_url="http://127.0.0.1:1", max_attempts=1)
        with pytest.raises(CommandError, match="object store is unreachable") as caught:
            call_command("ensure_bucket")
        assert caught.value.returncode == 2
