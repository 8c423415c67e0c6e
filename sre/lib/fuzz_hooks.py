"""Constraints that JSON Schema cannot express; loaded by schemathesis for ./sre/fuzz."""

from __future__ import annotations

from typing import Any

import schemathesis


@schemathesis.hook  # type: ignore[untyped-decorator] # it ships no types here
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Change what the schema allows and the service refuses.

    - 10.0 for a size: an integer to JSON Schema, not to the service. That 1.0 and 1e3
      are refused is the contract, and tested in the suite.
    - A made-up cursor: only those from an earlier answer are valid. It stays in cases
      that are meant to be invalid.
    """
    if isinstance(case.body, dict):
        size = case.body.get("size")
        if isinstance(size, float) and size.is_integer():
            case.body["size"] = int(size)
    is_meant_valid = case.meta is None or case.meta.generation.mode.is_positive
    if is_meant_valid and case.operation.label == "GET /api/uploads":
        case.query.pop("cursor", None)
