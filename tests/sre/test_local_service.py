from __future__ import annotations

import base64
import secrets

import pytest

from sre.lib.local_service import _public_key
from uploads.audit.keys import SigningKey


class TestPublicKey:
    def test_as_the_service_names_it(self) -> None:
        seed = secrets.token_bytes(32)
        text = base64.b64encode(seed).decode()
        assert _public_key(text) == SigningKey(seed).public_text()

    @pytest.mark.parametrize("text", ["", "nonsense", "AAAA"])
    def test_no_key__left_to_the_settings(self, text: str) -> None:
        assert _public_key(text) == ""
