from __future__ import annotations

from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.query import MAX_WORD_CHARACTERS, QueryError, word_of


class TestWord:
    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            (b"word=luca", "luca"),
            (b"word=", ""),
            (b"word", ""),
            (b"a=1&word=x&b=2", "x"),
            (b"word=a+b%2Bc", "a b+c"),
            (b"word=%C3%A9", "é"),
            ("word=é".encode(), "é"),
            (b"w%6Frd=x", "x"),
            (b"word=a=b", "a=b"),
        ],
    )
    def test_value(self, query, expected):
        assert word_of(query.decode("latin-1")) == expected

    @pytest.mark.parametrize(
        ("query", "code"),
        [
            (b"", "word-missing"),
            (b"Word=x", "word-missing"),
            (b"word=a&word=b", "word-repeated"),
            (b"word&w%6Frd", "word-repeated"),
            (b"word=%FF", "word-not-utf8"),
            (b"word=\xe9", "word-not-utf8"),
            (b"word=%ED%A0%80", "word-not-utf8"),  # a lone surrogate
            (b"word=" + b"a" * 2001, "word-too-long"),
            (b"word=" + b"%C3%A9" * 2001, "word-too-long"),
        ],
    )
    def test_error(self, query, code):
        with pytest.raises(QueryError) as caught:
            word_of(query.decode("latin-1"))
        assert caught.value.code == code

    @given(st.text(max_size=2000))
    def test_any_text_arrives(self, word):
        query = urlencode({"word": word}).encode()
        assert word_of(query.decode("latin-1")) == word

    @given(st.binary(max_size=200))
    def test_any_bytes__a_value_or_a_query_error(self, query):
        try:
            value = word_of(query.decode("latin-1"))
        except QueryError:
            return
        assert quote(value)
        assert len(value) <= MAX_WORD_CHARACTERS
