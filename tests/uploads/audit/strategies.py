"""Values that differ from a given one, in one place."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import strategies as st


def other(value: Any) -> st.SearchStrategy[Any]:
    """Draw a value of the same type, as a column of that type could hold it."""
    match value:
        case bool():
            return st.just(not value)
        case int():
            return st.integers(1, 1000).map(lambda step: value + step)
        case str():
            return other_text(value)
        case datetime():
            return st.integers(1, 10**9).map(
                lambda step: value + timedelta(microseconds=step)
            )
        case UUID():
            return st.integers(0, 127).map(lambda bit: UUID(int=value.int ^ (1 << bit)))
        case dict():
            return other_detail(value)
        case None:
            return st.sampled_from([0, "", False])
    raise TypeError(type(value))


@st.composite
def other_text(draw: Any, value: str) -> str:
    """Flip one character, or add one."""
    alphabet = st.sampled_from("0123456789abcdef")
    if not value or draw(st.booleans()):
        return value + str(draw(alphabet))
    at = draw(st.integers(0, len(value) - 1))
    character = draw(alphabet.filter(lambda c: c != value[at]))
    return f"{value[:at]}{character}{value[at + 1 :]}"


@st.composite
def other_detail(draw: Any, value: dict[str, Any]) -> dict[str, Any]:
    """Change, drop or add one entry."""
    changed = dict(value)
    name = draw(st.sampled_from([*sorted(value), "added"]))
    if name == "added":
        changed[name] = draw(st.one_of(st.integers(), st.text("abc"), st.none()))
    elif draw(st.booleans()):
        del changed[name]
    else:
        changed[name] = draw(other(value[name]))
    return changed
