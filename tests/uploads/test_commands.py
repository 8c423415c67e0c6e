from __future__ import annotations

from tests.uploads.making import run


class TestEnsureBucket:
    def test_creates_once(self, other_bucket):
        name = other_bucket(exists=False).bucket_name
        assert run("ensure_bucket") == (0, f"bucket {name}: created\n")
        assert run("ensure_bucket") == (0, f"bucket {name}: exists\n")
        exists = f'{{"bucket": "{name}", "state": "exists"}}\n'
        assert run("ensure_bucket", "--json") == (0, exists)
