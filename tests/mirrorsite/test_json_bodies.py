from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirrorsite.api import read_json

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**50), 10**50) | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
)


class TestReadJson:
    @settings(max_examples=30)
    @given(VALUES)
    def test_what_json_can_say(self, value):
        assert read_json(json.dumps(value).encode()) == value
        assert read_json(json.dumps(value, ensure_ascii=False).encode()) == value

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            (b'{"size":1,"size":2}', "an object has a member more than once"),
            (b'{"a":[{"b":1,"b":1}]}', "an object has a member more than once"),
            (b'{"\\ud800":1}', "a string holds half of a surrogate pair"),
            (b'["\\udfff"]', "a string holds half of a surrogate pair"),
            (b"[" * 9000, "nested too deeply"),
            (b"NaN", "NaN is not JSON"),
            (b"\xff", "byte 0 is not UTF-8"),
            (b"", "Expecting value: line 1 column 1 (char 0)"),
        ],
    )
    def test_refused__says_why(self, text, why):
        with pytest.raises(ValueError, match=f"^{re.escape(why)}$"):
            read_json(text)

    @given(st.binary())
    def test_any_bytes__a_value_or_why_not(self, data):
        try:
            value = read_json(data)
        except ValueError:
            return
        json.dumps(value, ensure_ascii=False).encode()
