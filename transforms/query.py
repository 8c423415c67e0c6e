"""Strict parsing of the word in a raw query string. No Django here."""

from __future__ import annotations

from urllib.parse import unquote_plus

MAX_WORD_CHARACTERS = 2000


class QueryError(ValueError):
    """The word is missing or malformed; `code` names the reason."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"The query parameter 'word' {message}")
        self.code = code


def word_of(query_string: str) -> str:
    """Return the one `word` of a percent-encoded query string.

    Raises `QueryError` when it is missing, given more than once, not UTF-8, or longer
    than `MAX_WORD_CHARACTERS` code points. Django's QueryDict hides two of these: it
    replaces what is not UTF-8 and returns the last of several values.
    """
    pairs = [pair.partition("=") for pair in query_string.split("&")]
    # Bytes that are not UTF-8 become surrogates, which cannot be encoded below.
    values = [
        unquote_plus(value, errors="surrogateescape")
        for name, _, value in pairs
        if unquote_plus(name) == "word"
    ]
    if not values:
        raise QueryError("word-missing", "is missing; give it once.")
    if len(values) > 1:
        raise QueryError(
            "word-repeated", f"is given {len(values)} times; give it once."
        )
    word = values[0]
    try:
        word.encode()
    except UnicodeEncodeError as error:
        raise QueryError(
            "word-not-utf8", "is not valid UTF-8; percent-encode UTF-8."
        ) from error
    if len(word) > MAX_WORD_CHARACTERS:
        raise QueryError(
            "word-too-long",
            f"has {len(word)} characters; at most {MAX_WORD_CHARACTERS} are allowed.",
        )
    return word
