from __future__ import annotations

from sre.lib.pins import faults

PROJECT = {
    "project": {"dependencies": ["django>=5.2,<5.3", "psycopg[binary]>=3"]},
    "dependency-groups": {
        "local": ["weed==4"],
        "test": [{"include-group": "local"}, "pytest>=9"],
    },
}
HASH = " \\\n    --hash=sha256:00"


def compiled(*pins: str) -> str:
    return "".join(f"{pin}{HASH}\n" for pin in pins)


def test_faults() -> None:
    test = compiled("django==5.2.9", "psycopg==3.3", "weed==4", "pytest==9.1")
    assert not faults(
        PROJECT, {"": compiled("django==5.2.9", "psycopg[binary]==3.3"), "test": test}
    )
    assert faults(
        PROJECT,
        {
            "": compiled("django==6.0", "psycopg==3"),
            "test": compiled("django==5.2", "psycopg==3", "weed==4"),
        },
    ) == [
        "production: django is 6.0, not <5.3,>=5.2.",
        "test: pytest is not pinned, not >=9.",
    ]
