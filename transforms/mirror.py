"""The mirror: swap case, replace each digit d by 9 - d, reverse. Pure: no Django here."""

from __future__ import annotations

import unicodedata

import regex

_LOWER = "abcdefghijklmnopqrstuvwxyz"
_DIGITS = "0123456789"
_ASCII_SWAP = str.maketrans(
    _LOWER + _LOWER.upper() + _DIGITS, _LOWER.upper() + _LOWER + _DIGITS[::-1]
)
#: Extended grapheme clusters: what a person sees as one character.
#: https://www.unicode.org/reports/tr29/#Grapheme_Cluster_Boundaries
_GRAPHEME = regex.compile(r"\X")


def mirror(word: str) -> str:
    """Return `word` reversed, with case swapped and each ASCII digit d replaced by 9 - d.

    A letter is swapped only if its counterpart is one letter that swaps back to it, so
    ß, ŉ and ς stay as they are. All other characters stay as well.
    The reversal keeps extended grapheme clusters whole: an accent stays on its
    letter, a flag stays a flag.
    """
    # In ASCII every character is its own cluster, except CR LF (UAX #29, GB3).
    if word.isascii() and "\r\n" not in word:
        return word.translate(_ASCII_SWAP)[::-1]
    swapped = "".join(map(_swap, word))
    return "".join(reversed(_GRAPHEME.findall(swapped)))


def _swap(character: str) -> str:
    if character.isascii():
        return character.translate(_ASCII_SWAP)
    # Lu and Ll only: ª, Ⅷ and Ⓐ have case in Unicode, but are in neither category.
    category = unicodedata.category(character)
    if category == "Ll":
        counterpart = character.upper()
        back = counterpart.lower()
    elif category == "Lu":
        counterpart = character.lower()
        back = counterpart.upper()
    else:
        return character
    return counterpart if len(counterpart) == 1 and back == character else character
