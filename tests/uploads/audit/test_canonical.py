from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from uploads.audit.canonical import (
    NO_SEAL,
    NotCanonicalError,
    Seal,
    encode,
    event_line,
    format_time,
    parse_canonical_time,
    parse_seal,
)
from uploads.audit.keys import SigningKey

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
KEY = SigningKey(bytes(range(32)))
SEAL = KEY.sign_seal(
    Seal(
        number=1,
        sealed_at="2026-11-23T18:22:05.000123Z",
        event_count=1,
        first_event=7,
        last_event=7,
        root="ab" * 32,
        previous=NO_SEAL,
        key_id=KEY.id,
    )
)


class TestEncode:
    @given(VALUES)
    def test_encode__reads_back(self, value):
        encoded = encode(value)
        assert encoded.isascii()
        assert json.loads(encoded) == value
        assert encode(json.loads(encoded)) == encoded

    @pytest.mark.parametrize(
        ("value", "encoded"),
        [
            ({"b": [1, -2], "a": None}, b'{"a":null,"b":[1,-2]}'),
            ("\u00e9\U0001f600\ud800", b'"\\u00e9\\ud83d\\ude00\\ud800"'),
            ('"\\/\x7f\n', b'"\\"\\\\/\\u007f\\n"'),
            (10**30, b"1" + b"0" * 30),
            (True, b"true"),
        ],
    )
    def test_encode__vectors(self, value, encoded):
        assert encode(value) == encoded

    @pytest.mark.parametrize(
        "value", [1.5, 1.0, float("nan"), {"a": [{"b": 0.0}]}, {1, 2}, b"x"]
    )
    def test_encode__refused(self, value):
        with pytest.raises(NotCanonicalError):
            encode(value)


class TestEventLine:
    def test_event_line__vector(self):
        line = event_line(
            7,
            UUID("01890a5d-ac96-774b-bcce-b302099a8057"),
            "stored",
            datetime(2026, 11, 23, 20, 7, 5, 120, timezone(timedelta(minutes=105))),
            "user:z\u00f6e",
            "request-1",
            {"size": 4, "etag": ""},
        )
        assert line == (
            b'{"action":"stored","actor":"user:z\\u00f6e",'
            b'"at":"2026-11-23T18:22:05.000120Z","detail":{"etag":"","size":4},"id":7,'
            b'"request_id":"request-1","upload":"01890a5d-ac96-774b-bcce-b302099a8057"}\n'
        )

    @given(st.datetimes(timezones=st.just(UTC)))
    def test_format_time__reads_back(self, at):
        text = format_time(at)
        assert len(text) == 27
        assert parse_canonical_time(text) == at


class TestSeal:
    def test_file__vector(self):
        """Written out from the docstring alone, with the library's own primitives."""
        statement = (
            '{"event_count":1,"first_event":7,"format":"mirrorsite-audit-seal-1",'
            f'"key_id":"{KEY.id}","last_event":7,"next_key":null,"number":1,'
            f'"previous":"{"0" * 64}","root":"{"ab" * 32}",'
            '"sealed_at":"2026-11-23T18:22:05.000123Z"}'
        )
        private = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
        signature = private.sign(f"mirrorsite-audit-seal-1\n{statement}".encode())
        file = f'{statement[:-1]},"signature":"{signature.hex()}"}}'
        assert SEAL.file_bytes().decode() == file
        assert SEAL.hash() == hashlib.sha256(file.encode()).hexdigest()
        public = private.public_key().public_bytes_raw()
        assert KEY.id == hashlib.sha256(public).hexdigest()[:16]
        assert parse_seal(file.encode()) == SEAL

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"[]",
            b"null",
            b"{}",
            b'{"format":"mirrorsite-audit-seal-1"}',
            b"\xff",
            b"[" * 100_000,
            SEAL.file_bytes() + b"\n",
            SEAL.file_bytes().replace(b":", b": ", 1),
            SEAL.file_bytes().replace(b'"number":1', b'"number":1.0'),
            SEAL.file_bytes().replace(b'"number":1', b'"number":true'),
            SEAL.file_bytes().replace(b'"number":1', b'"number":null'),
            SEAL.file_bytes().replace(b'"event_count":1', b'"event_count":null'),
            SEAL.file_bytes().replace(b'"number":1', b'"number":1,"number":1'),
            SEAL.file_bytes().replace(b'"ab', b'"AB'),
            SEAL.file_bytes().replace(b"-seal-1", b"-seal-2"),
            SEAL.file_bytes().replace(b'"root"', b'"boot"'),
            # The first ones would end a verification, if they were signed.
            SEAL.file_bytes().replace(b'"2026-11-23T18:22:05.000123Z"', b"5"),
            SEAL.file_bytes().replace(b"2026-11-23T", b"2026-11-31T"),
            SEAL.file_bytes().replace(b"T18:22:05.000123Z", b"T18:22:05.000123+00:00"),
            SEAL.file_bytes().replace(b".000123Z", b".1Z"),
        ],
    )
    def test_parse_seal__refused(self, content):
        with pytest.raises(NotCanonicalError):
            parse_seal(content)


def test_secret_of_a_key__not_shown():
    assert repr(KEY) == f"<SigningKey {KEY.id}>"
