"""The description of the operations that belong to no app."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema

from mirrorsite.openapi import answer, problems, ref
from mirrorsite.problem_types import PROBLEM_TYPES

_HEALTHY = {
    "type": "object",
    "required": ["status"],
    "additionalProperties": False,
    "properties": {"status": {"const": "ok"}},
}
_READY = {
    "type": "object",
    "required": ["status", "checks"],
    "additionalProperties": False,
    "properties": {"status": {"const": "ok"}, "checks": ref("Checks")},
}
_CHECKS = {"database": "ok", "migrations": "ok", "bucket": "ok"}

health = extend_schema(
    operation_id="health",
    summary="Is the process alive?",
    description="Asks neither database nor bucket: the liveness probe.",
    tags=["probes"],
    auth=[],
    responses={200: answer(_HEALTHY, "It answers.", {"status": "ok"})},
)
ready = extend_schema(
    operation_id="ready",
    summary="Can an upload succeed?",
    description="Asks database, migrations and bucket, at most every few seconds: the"
    " readiness probe.",
    tags=["probes"],
    auth=[],
    responses={
        200: answer(
            _READY, "All that is needed is there.", {"status": "ok", "checks": _CHECKS}
        ),
        **problems(
            "/api/ready",
            "not-ready",
            not_ready={
                "checks": _CHECKS | {"bucket": "unavailable: there is no such bucket"}
            },
        ),
    },
)
api_schema = extend_schema(
    operation_id="schema",
    summary="This description",
    description="OpenAPI 3.1, as JSON, or as YAML with ?format=yaml or an Accept"
    " header that asks for it.",
    tags=["about"],
    auth=[],
    parameters=[
        OpenApiParameter("format", enum=["json", "yaml"], description="Default: json.")
    ],
    responses={
        (200, media_type): OpenApiResponse({"type": "object"}, "The description.")
        for media_type in ("application/json", "application/yaml")
    }
    | problems("/api/schema", "invalid-parameter"),
)
_first = PROBLEM_TYPES["word-missing"]
_EXAMPLE = {
    "type": _first.uri,
    "title": _first.title,
    "status": _first.status,
    "meaning": _first.meaning,
    "remedy": _first.remedy,
}
problem_list = extend_schema(
    operation_id="problems",
    summary="Every type of problem",
    tags=["about"],
    auth=[],
    responses={
        200: answer(
            {
                "type": "object",
                "required": ["problems"],
                "additionalProperties": False,
                "properties": {
                    "problems": {"type": "array", "items": ref("ProblemType")}
                },
            },
            "All types.",
            {"problems": [_EXAMPLE]},
        )
    },
)
problem_type = extend_schema(
    operation_id="problem",
    summary="What one type of problem means",
    description="The `type` of a problem is the path of this operation.",
    tags=["about"],
    auth=[],
    parameters=[
        OpenApiParameter(
            "slug", location="path", description="The last part of the type."
        )
    ],
    responses={
        200: answer(ref("ProblemType"), "Its meaning.", _EXAMPLE),
        **problems("/api/problems/unheard-of", "not-found"),
    },
)
