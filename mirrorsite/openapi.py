"""Additions to what drf-spectacular finds: problems, headers, security schemes, enums."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from drf_spectacular.extensions import (
    OpenApiAuthenticationExtension,
    OpenApiSerializerFieldExtension,
)
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse

from mirrorsite.problem_types import PROBLEM_TYPES
from mirrorsite.problems import CONTENT_TYPE, problem_body
from mirrorsite.serializers import ProblemSerializer

EXAMPLE_REQUEST_ID = "0af7651916cd43dd8448eb211c80319c"
#: Headers of responses.
_HEADERS: dict[str, Any] = {
    "RateLimit": {
        "description": "Requests that remain (r) in the next t seconds; absent without"
        " a limit.",
        "schema": {"type": "string"},
        "example": '"default";r=59;t=31',
    },
    "RateLimit-Policy": {
        "description": "Requests (q) allowed per window of w seconds; absent without a"
        " limit.",
        "schema": {"type": "string"},
        "example": '"default";q=60;w=60',
    },
    "Retry-After": {
        "description": "Seconds to wait before trying again.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "WWW-Authenticate": {
        "description": "The authentication scheme to use (RFC 6750).",
        "schema": {"type": "string"},
    },
    "X-Request-ID": {
        "description": "The request's identifier: the client's own X-Request-ID when"
        " well-formed, else the trace id of its traceparent, else a new one. It is in"
        " the log, the record and the object's metadata.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._~+/=:-]{1,128}$"},
    },
}

#: Request headers that every operation takes.
_PARAMETERS: dict[str, Any] = {
    "X-Request-ID": {
        "name": "X-Request-ID",
        "in": "header",
        "description": "Your identifier of the request, 1 to 128 characters of"
        " A-Z a-z 0-9 . _ ~ + / = : -. Another value is ignored.",
        "schema": {"type": "string"},
        "example": "order-4711",
    },
    "traceparent": {
        "name": "traceparent",
        "in": "header",
        "description": "W3C Trace Context; without an X-Request-ID its trace id is the"
        " request's identifier. An invalid value is ignored.",
        "schema": {"type": "string"},
        "example": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    },
}
#: Headers of every response with this status, besides X-Request-ID.
_HEADERS_OF_STATUS = {
    "401": ["WWW-Authenticate"],
    "429": ["Retry-After"],
    "503": ["Retry-After"],
}
#: Responses to requests that reach no view, and so are not rate-limited.
_NOT_COUNTED = {"408", "413", "default"}
#: The only schemas that allow undeclared members, and the type of those.
_ADDITIONAL_PROPERTIES = {"Problem": True, "Checks": {"type": "string"}}


def answer(serializer: Any, description: str, example: Any) -> OpenApiResponse:
    """Return a successful response with an example."""
    return OpenApiResponse(
        serializer, description, [OpenApiExample("answer", value=example)]
    )


def header(
    name: str, description: str, *statuses: int, **schema: str
) -> OpenApiParameter:
    """Return a header of the responses with these statuses."""
    return OpenApiParameter(
        name,
        schema,
        location="header",
        description=description,
        response=list(statuses),
    )


def problem_responses(
    instance: str,
    *slugs: str,
    fields: Mapping[str, str] | None = None,
    members: Mapping[str, dict[str, Any]] | None = None,
) -> dict[tuple[int, str], OpenApiResponse]:
    """Return the responses for an operation's problems: one per status, with examples.

    `instance` is the operation's path. `fields` maps a problem type to the request
    field that is named in its example; `slugs` are the types without a field. `members`
    maps types to additional members of their example.
    """
    fields = fields or {}
    extra = dict(members or {})
    for slug, field in fields.items():
        extra[slug] = {
            "errors": [{"field": field, "code": slug, "detail": "What is wrong."}]
        }
    by_status: dict[int, list[str]] = defaultdict(list)
    for slug in dict.fromkeys((*fields, *slugs)):  # each slug once, in this order
        by_status[PROBLEM_TYPES[slug].status].append(slug)
    return {
        (status, CONTENT_TYPE): OpenApiResponse(
            ProblemSerializer,
            " ".join(
                f"`{slug}`: {PROBLEM_TYPES[slug].meaning}" for slug in slugs_of_status
            ),
            [_example(instance, slug, extra.get(slug, {})) for slug in slugs_of_status],
        )
        for status, slugs_of_status in by_status.items()
    }


def _example(instance: str, slug: str, members: dict[str, Any]) -> OpenApiExample:
    kind = PROBLEM_TYPES[slug]
    value = problem_body(instance, EXAMPLE_REQUEST_ID, slug, kind.meaning, **members)
    return OpenApiExample(slug, value=value, summary=kind.title)


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "mirrorsite.tokens.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "A token with the scope that the operation needs: upload or"
            " read.",
        }


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "mirrorsite.tokens.authentication.StaffSessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {
            "type": "apiKey",
            "in": "cookie",
            "name": "sessionid",
            "description": "The session of a member of staff; POST needs X-CSRFToken"
            " too. With HTTPS_ONLY the cookie is called __Host-sessionid.",
        }


class ChoiceScheme(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """Choices as a plain enum; a component of its own if the field has `schema_name`."""

    target_class = "rest_framework.serializers.ChoiceField"
    match_subclasses = True

    def get_name(self) -> str | None:
        return getattr(self.target, "schema_name", None)

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.target.choices)}


def describe_every_operation(
    result: dict[str, Any], generator: Any, request: Any, public: bool
) -> dict[str, Any]:
    """drf-spectacular hook: add the parameters, responses and headers of all operations.

    Also declares for each object schema whether undeclared members are allowed.
    """
    common = {"headers": _HEADERS, "parameters": _PARAMETERS}
    result["components"] = common | result["components"]
    for path in result["paths"].values():
        for operation in path.values():
            _describe(operation)
    for name, schema in result["components"]["schemas"].items():
        if "properties" in schema:
            schema["additionalProperties"] = _ADDITIONAL_PROPERTIES.get(name, False)
    return result


def _describe(operation: dict[str, Any]) -> None:
    """Add the common parameters, the default response and the response headers."""
    operation.setdefault("parameters", []).extend(
        {"$ref": f"#/components/parameters/{name}"} for name in _PARAMETERS
    )
    responses = operation["responses"]
    # Any request can be refused, for example because of its host or method.
    responses["default"] = {
        "description": "Any other problem; /api/problems lists them all.",
        "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    is_limited = "429" in responses
    for status, response in responses.items():
        names = ["X-Request-ID", *_HEADERS_OF_STATUS.get(status, ())]
        if is_limited and status not in _NOT_COUNTED:
            names += ["RateLimit-Policy", "RateLimit"]
        headers = response.setdefault("headers", {})
        for name in names:
            headers[name] = {"$ref": f"#/components/headers/{name}"}
