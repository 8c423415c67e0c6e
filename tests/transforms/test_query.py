from __future__ import annotations

from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.query import QueryError, word_of


class TestWord:
    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("word=luca", "luca"),
            ("word=", ""),
            ("word", ""),
            ("a=1&word=x&b=2", "x"),
            ("word=a+b%2Bc", "a b+c"),
            ("word=%C3%A9", "é"),
            ("x=%FF&word=x", "x"),
            ("w%6Frd=x", "x"),
            ("word=a=b", "a=b"),
        ],
    )
    def test_value(self, query, expected):
        assert word_of(query) == expected

    @pytest.mark.parametrize(
        ("query", "code"),
        [
            ("", "word-missing"),
            ("Word=x", "word-missing"),
            ("word=a&word=b", "word-repeated"),
            ("word&w%6Frd", "word-repeated"),
            ("word=%FF", "word-not-utf8"),
            ("word=%ED%A0%80", "word-not-utf8"),  # a lone surrogate
            ("word=" + "a" * 2001, "word-too-long"),
            ("word=" + "%C3%A9" * 2001, "word-too-long"),
        ],
    )
    def test_error(self, query, code):
        with pytest.raises(QueryError) as caught:
            word_of(query)
        assert caught.value.code == code

    @given(st.text(max_size=2000))
    def test_any_text_arrives(self, word):
        assert word_of(urlencode({"word": word})) == word

    @given(st.binary(max_size=200))
    def test_any_bytes__their_text_or_a_query_error(self, content):
        query = f"word={quote(content)}"
        try:
            text = content.decode()
        except UnicodeDecodeError:
            with pytest.raises(QueryError, match="not valid UTF-8"):
                word_of(query)
        else:
            assert word_of(query) == text

    @given(st.text(st.characters(max_codepoint=0x7F), max_size=30))
    def test_any_query__a_value_or_a_query_error(self, query):
        try:
            value = word_of(query)
        except QueryError:
            return
        assert value.encode()
