from __future__ import annotations

from sre.lib.pins import faults

PROJECT = {
    "project": {"dependencies": ["django>=5.2,<5.3", "psycopg[binary]>=3"]},
    "dependency-groups": {
        "local": ["weed==4"],
        "test": [{"include-group": "local"}, "pytest>=9"],
    },
}


def compiled(*pins: str) -> str:
    return "".join(f"{pin} \\\n    --hash=sha256:00\n" for pin in pins)


def test_faults():
    production = compiled("django==5.2.9", "psycopg[binary]==3.3")
    test = production + compiled("weed==4", "pytest==9.1")
    assert not faults(PROJECT, {"": production, "test": test})
    old = compiled("django==6.0", "psycopg==3", "weed==4")
    assert faults(PROJECT, {"": old, "test": production + compiled("weed==4")}) == [
        "production: django is 6.0, not <5.3,>=5.2.",
        "test: pytest is not pinned, not >=9.",
    ]
