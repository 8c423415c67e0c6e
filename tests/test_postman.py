"""The Postman collection against the API's description; ./sre/postman runs it."""

from __future__ import annotations

import json
import re
from pathlib import Path

from mirrorsite.api_docs import openapi

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "postman"
COLLECTION = json.loads((FOLDER / "mirrorsite.postman_collection.json").read_text())
ENVIRONMENT = json.loads((FOLDER / "mirrorsite.postman_environment.json").read_text())


def requests() -> set[tuple[str, str, str]]:
    """Return method, path and expected status of each request."""
    found = set()
    for item in COLLECTION["item"]:
        (status,) = re.findall(r"have\.status\((\d+)\)", json.dumps(item["event"]))
        path = item["request"]["url"].removeprefix("{{baseUrl}}").partition("?")[0]
        found.add((item["request"]["method"], path, status))
    return found


def operations() -> dict[tuple[str, str], set[str]]:
    """Return the declared statuses of each method and path template."""
    return {
        (method.upper(), template): set(operation["responses"])
        for template, methods in openapi()["paths"].items()
        for method, operation in methods.items()
    }


def test_every_operation_succeeds_once_and_nothing_undeclared_is_expected():
    succeeding = set()
    for method, path, status in requests():
        (operation,) = (
            (declared, template)
            for declared, template in operations()
            if declared == method
            and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path)
        )
        assert status in operations()[operation]
        if status < "400":
            succeeding.add(operation)
    assert succeeding == set(operations())


def test_no_secret_is_committed():
    values = {value["key"]: value["value"] for value in ENVIRONMENT["values"]}
    assert values == {"baseUrl": "http://127.0.0.1:4545", "token": ""}
