from __future__ import annotations

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from transforms.mirror import mirror

ASCII = st.text(st.characters(max_codepoint=127))
#: Clusters, alone and joined.
CLUSTERS = st.lists(
    st.sampled_from(
        [
            *"aZ09 .-ßŉςﬁǅᏣé한",
            *("e\u0301", "n\u0303\u0323", "👍🏽", "क्षि", "ก\u0e33", "\r\n"),
            *("👨\u200d👩\u200d👧", "🏳️\u200d🌈"),
        ]
    )
).map("".join)


class TestMirror:
    @pytest.mark.parametrize(
        ("word", "expected"),
        [
            ("fOoBar25", "47RAbOoF"),
            ("abcABC123987", "210678cbaCBA"),
            ("luca", "ACUL"),
            ("", ""),
            ("0123456789", "0123456789"),
            ("a b\tc", "C\tB A"),
            ("é", "É"),
            ("Straße", "EßARTs"),  # ß has no counterpart of one letter
            ("ŉa", "Aŉ"),
            ("ςΣ", "σς"),  # ς swaps to Σ, which swaps to σ: so ς stays
            ("ıİ", "İı"),  # neither swaps back to itself
            ("Ⅷⓐª", "ªⓐⅧ"),  # cased, but no letters
            ("٣a", "A٣"),  # digits outside ASCII stay
            ("ae\u0301", "E\u0301A"),  # the accent stays on its letter
            ("🇮🇹a🇬🇷", "🇬🇷A🇮🇹"),
            ("x👨\u200d👩\u200d👧y", "Y👨\u200d👩\u200d👧X"),
            ("a\r\nb", "B\r\nA"),  # CR LF is one cluster
        ],
    )
    def test_mirror(self, word, expected):
        assert mirror(word) == expected

    @given(ASCII.filter(lambda word: "\n\r" not in word and "\r\n" not in word))
    def test_ascii__twice_is_the_word(self, word):
        assert mirror(mirror(word)) == word

    @given(st.text())
    def test_any__swapped_character_swaps_back(self, word):
        for character in word:
            assert mirror(mirror(character)) == character

    @given(ASCII | st.text(max_size=50) | CLUSTERS)
    def test_any__by_the_definition(self, word):
        """Swapped character by character, then reversed cluster by cluster."""
        swapped = "".join(mirror(character) for character in word)
        assert mirror(word) == "".join(regex.findall(r"\X", swapped)[::-1])
