"""What is a key, which upload it names, and how long a try holds it."""

from __future__ import annotations

from uuid import RFC_4122

import pytest

from tests.uploads.idempotency.retrying import KEY
from uploads.api.idempotency_keys import parse_key
from uploads.idempotency import IdempotencyKey, longest_attempt


class TestParseKey:
    @pytest.mark.parametrize(
        ("value", "key"),
        [
            ("k", "k"),
            ("8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
            ('"k"', "k"),
            (' \t"k"\t', "k"),
            ('"a b"', "a b"),
            ("a b", "a b"),
            (r'"a\"b\\c"', 'a"b\\c'),
            ('a"b', 'a"b'),
            ("~" * 255, "~" * 255),
            ('"' + "k" * 255 + '"', "k" * 255),
            ("", None),
            ('""', None),
            ('"', None),
            ('"k', None),
            ('"k"x', None),
            ('"a","b"', None),
            ('"a,b"', "a,b"),
            ("a,b", None),  # two headers, joined on the way
            (r'"a\b"', None),
            ("k" * 256, None),
            ('"' + "k" * 256 + '"', None),
            ("k\x00", None),
            ("k\x7f", None),
            ("\xe9", None),
            ('"\xe9"', None),
            ("a\nb", None),
        ],
    )  # fmt: skip
    def test_parse_key(self, value, key):
        assert parse_key(value) == key


class TestUploadId:
    def test_pure_function_of_scope_and_key(self):
        same = IdempotencyKey(KEY.scope, KEY.key)
        assert same.upload_id == KEY.upload_id
        assert KEY.upload_id.version == 8
        assert KEY.upload_id.variant == RFC_4122
        others = {
            IdempotencyKey(scope, key).upload_id
            for scope, key in (("a", "bc"), ("ab", "c"), ("abc", ""), ("", "abc"))
        }
        assert len(others) == 4

    def test_not_without_the_secret(self, settings):
        before = KEY.upload_id
        settings.SECRET_KEY = "another" * 10
        assert KEY.upload_id != before


class TestLease:
    @pytest.mark.parametrize(
        ("size", "seconds"),
        [
            # A request is tried twice for 2 + 10 s, with pauses of 0.4 s: 24.4 s.
            # The PUT, a question what became of it, and the database.
            (4, 24.4 + 24.4 + 10),
            # Eight parts and three requests around them, all of it twice.
            (64 * 1024 * 1024, 24.4 * (1 + 2 * 11) + 24.4 + 2 * 6.4 + 10),
        ],
    )
    def test_from_the_timeouts(self, make_storage, size, seconds):
        storage = make_storage(connect_timeout=2, read_timeout=10, max_attempts=2)
        assert longest_attempt(size, storage).total_seconds() == pytest.approx(seconds)
