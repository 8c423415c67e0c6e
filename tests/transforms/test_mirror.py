from __future__ import annotations

import unicodedata

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

import transforms.mirror
from transforms.mirror import mirror

ASCII = st.text(st.characters(max_codepoint=127))
#: Clusters that stay whole and do not join with a neighbour, in any order.
CLUSTERS = st.sampled_from(
    [
        *"aZ09 .-ßŉςﬁǅᏣ",
        "é",  # precomposed
        "e\u0301",  # with a combining acute
        "n\u0303\u0323",
        "한",
        "각",
        "👨\u200d👩\u200d👧",
        "👍🏽",
        "🏳️\u200d🌈",
        "क्षि",
        "ำ".join(["ก", ""]),
    ]
)
WELL_FORMED = st.lists(CLUSTERS).map("".join)


def clusters(text: str) -> list[str]:
    return regex.findall(r"\X", text)


def is_cased_letter_or_digit(character: str) -> bool:
    return unicodedata.category(character) in {"Lu", "Ll"} or character in "0123456789"


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

    @given(ASCII)
    def test_ascii__fast_path_agrees(self, word):
        slow = "".join(map(transforms.mirror._swap, word))
        assert mirror(word) == "".join(reversed(clusters(slow)))

    @given(WELL_FORMED)
    def test_well_formed__length_in_clusters_is_kept(self, word):
        assert len(clusters(mirror(word))) == len(clusters(word))

    @given(st.text())
    def test_any__other_characters_are_unchanged(self, word):
        kept = [c for c in word if not is_cased_letter_or_digit(c)]
        after = [c for c in mirror(word) if not is_cased_letter_or_digit(c)]
        assert sorted(after) == sorted(kept)

    @given(st.text())
    def test_any__swapped_character_swaps_back(self, word):
        for character in word:
            assert mirror(mirror(character)) == character

    @given(st.text(max_size=50))
    def test_any__is_the_reverse_of_swapped_clusters(self, word):
        assert clusters_of_swapped(word) == mirror(word)


def clusters_of_swapped(word: str) -> str:
    """Mirror by the definition, without any shortcut."""
    swapped = "".join(transforms.mirror._swap(character) for character in word)
    return "".join(clusters(swapped)[::-1])
