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


class TestFaults:
    def test_none(self) -> None:
        assert not faults(
            PROJECT,
            {
                "": compiled("django==5.2.9", "psycopg[binary]==3.3"),
                "test": compiled(
                    "django==5.2.9", "psycopg==3.3", "weed==4", "pytest==9.1"
                ),
            },
        )

    def test_outside_the_range(self) -> None:
        assert faults(PROJECT, {"": compiled("django==6.0", "psycopg==3")}) == [
            "production: django 6.0 is outside <5.3,>=5.2."
        ]

    def test_no_pin(self) -> None:
        found = faults(
            PROJECT, {"test": compiled("django==5.2", "psycopg==3", "weed==4")}
        )
        assert found == ["test: pytest has no pin."]

    def test_no_hash(self) -> None:
        text = compiled("psycopg==3") + "django==5.2\n"
        assert faults(PROJECT, {"": text}) == ["production: django==5.2 has no hash."]
