"""Describing operations for drf-spectacular: problems, headers, common parameters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse

from mirrorsite.openapi_components import HEADERS
from mirrorsite.problem_types import PROBLEM_TYPES

PROBLEM_JSON = "application/problem+json"
Responses = dict[Any, OpenApiResponse]
#: Headers of a status, whatever the operation.
_HEADERS_OF_STATUS = {
    "401": ["WWW-Authenticate"],
    "429": ["Retry-After"],
    "503": ["Retry-After"],
}


def ref(name: str) -> dict[str, str]:
    """Return a reference to a schema of `openapi_components`."""
    return {"$ref": f"#/components/schemas/{name}"}


def answer(
    schema: dict[str, Any], description: str, example: dict[str, Any]
) -> OpenApiResponse:
    """Return a success with its example."""
    return OpenApiResponse(
        response=schema,
        description=description,
        examples=[OpenApiExample("answer", value=example)],
    )


def header(name: str, *statuses: int) -> OpenApiParameter:
    """Return a header of `openapi_components` on the answers with these statuses."""
    declared = HEADERS[name]
    return OpenApiParameter(
        name,
        type=declared["schema"],
        location="header",
        description=declared.get("description", ""),
        response=list(statuses),
    )


def problems(
    instance: str, *slugs: str, **members: dict[str, Any]
) -> dict[tuple[int, str], OpenApiResponse]:
    """Return the responses of an operation's problems, an example for each.

    `instance` is the operation's path; `members` gives, by slug with underscores,
    what a problem has beyond the common members.
    """
    by_status: dict[int, list[str]] = defaultdict(list)
    for slug in slugs:
        by_status[PROBLEM_TYPES[slug].status].append(slug)
    return {
        (status, PROBLEM_JSON): OpenApiResponse(
            response=ref("Problem"),
            description=" ".join(
                f"`{slug}`: {PROBLEM_TYPES[slug].meaning}" for slug in found
            ),
            examples=[
                _example(instance, slug, members.get(slug.replace("-", "_"), {}))
                for slug in found
            ],
        )
        for status, found in by_status.items()
    }


def _example(instance: str, slug: str, members: dict[str, Any]) -> OpenApiExample:
    kind = PROBLEM_TYPES[slug]
    value = {
        "type": kind.uri,
        "title": kind.title,
        "status": kind.status,
        "detail": kind.meaning,
        "instance": instance,
        "request_id": "0af7651916cd43dd8448eb211c80319c",
        **members,
    }
    return OpenApiExample(slug, value=value, summary=kind.title)


def describe_every_operation(
    result: dict[str, Any], generator: Any, request: Any, public: bool
) -> dict[str, Any]:
    """Add to each operation what all have in common (a drf-spectacular hook)."""
    for path in result["paths"].values():
        for operation in path.values():
            operation.setdefault("parameters", []).extend(
                {"$ref": f"#/components/parameters/{name}"}
                for name in ("X-Request-ID", "traceparent")
            )
            responses = operation["responses"]
            # A host that is not allowed, a method that is not: any request may.
            responses["default"] = {
                "description": "Any other problem; /api/problems lists them all.",
                "content": {PROBLEM_JSON: {"schema": ref("Problem")}},
            }
            for status, response in responses.items():
                names = ["X-Request-ID", *_HEADERS_OF_STATUS.get(status, ())]
                _add_headers(response, names)
    return result


def _add_headers(response: dict[str, Any], names: Iterable[str]) -> None:
    headers = response.setdefault("headers", {})
    for name in names:
        headers.setdefault(name, {"$ref": f"#/components/headers/{name}"})
