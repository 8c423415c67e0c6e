"""What JSON Schema cannot say of a request; loaded by schemathesis for ./sre/fuzz."""

from __future__ import annotations

from typing import Any

import schemathesis


@schemathesis.hook  # type: ignore[untyped-decorator] # it ships no types here
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Send 10 for 10.0: to JSON Schema both are integers, to the service only the first.

    That 1.0 and 1e3 are refused is the contract, and tested in the suite.
    """
    body = case.body
    if isinstance(body, dict):
        size = body.get("size")
        if isinstance(size, float) and size.is_integer():
            body["size"] = int(size)
