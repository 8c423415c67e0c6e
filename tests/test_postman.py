"""The Postman collection covers every operation, in success and in failure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mirrorsite.api_docs import openapi
from mirrorsite.problem_types import PROBLEM_TYPES

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "postman"
COLLECTION = json.loads((FOLDER / "mirrorsite.postman_collection.json").read_text())
ENVIRONMENT = json.loads((FOLDER / "mirrorsite.postman_environment.json").read_text())


def requests(folder: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for item in folder["item"]:
        if "item" in item:
            yield from requests(item)
        else:
            yield item


def outcome(item: dict[str, Any]) -> tuple[str, str, int]:
    """Return method, path without variables, and the status that is asserted."""
    script = "\n".join(
        line
        for event in item["event"]
        if event["listen"] == "test"
        for line in event["script"]["exec"]
    )
    (status,) = re.findall(r"have\.status\((\d+)\)", script)
    raw = item["request"]["url"]["raw"].removeprefix("{{baseUrl}}").partition("?")[0]
    return item["request"]["method"], raw, int(status)


def test_every_operation__success_and_failure() -> None:
    outcomes = [outcome(item) for item in requests(COLLECTION)]
    for template, operations in openapi()["paths"].items():
        pattern = re.compile(re.sub(r"\{\w+\}", r"[^/]+", template))
        for method in operations:
            statuses = {
                status
                for asked, path, status in outcomes
                if asked == method.upper() and pattern.fullmatch(path)
            }
            where = f"{method} {template}"
            assert any(status < 400 for status in statuses), where
            failures = {
                status
                for _, path, status in outcomes
                if pattern.fullmatch(path) and status >= 400
            }
            assert failures or template == "/api/problems", where


def test_problems__declared() -> None:
    named = set(re.findall(r"/api/problems/([a-z0-9-]+)", json.dumps(COLLECTION)))
    assert named - {"unheard-of"} <= set(PROBLEM_TYPES)


def test_no_secret_is_committed() -> None:
    values = {value["key"]: value["value"] for value in ENVIRONMENT["values"]}
    assert values == {"baseUrl": "http://127.0.0.1:4545", "token": ""}
