from __future__ import annotations

import json

import pytest

from mirrorsite.logs import json_line, printable

HOSTILE = "a\n\r\x1b[31m\x7f\x9b\u202e\u2066\u2028\ud800\x00\xa0.txt"


class TestPrintable:
    def test_printable(self):
        assert printable(HOSTILE) == (
            r"a\n\r\x1b[31m\x7f\x9b\u202e\u2066\u2028\ud800\x00\xa0.txt"
        )

    @pytest.mark.parametrize("text", ["", "a b", "uploads/ü/日本.txt", "☃ 😀"])
    def test_printable__harmless__unchanged(self, text):
        assert printable(text) == text


class TestJsonLine:
    def test_json_line(self):
        value = {"key": HOSTILE, "ü": "😀\U000e0001"}
        line = json_line(value)
        assert line.isprintable()
        assert json.loads(line) == value
        assert '"ü": "😀' in line
