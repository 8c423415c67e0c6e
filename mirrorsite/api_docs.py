"""What the API says of itself: its description, its problems, a page to browse both."""

from __future__ import annotations

import threading
from dataclasses import asdict
from functools import cache
from typing import Any

import yaml
from django.http import HttpResponse
from django.shortcuts import render
from drf_spectacular.generators import SchemaGenerator
from rest_framework.request import Request
from rest_framework.response import Response

from mirrorsite import schema
from mirrorsite.api import OpenView
from mirrorsite.negotiation import preferred
from mirrorsite.problem_types import PROBLEM_TYPES, ProblemType
from mirrorsite.problems import InvalidRequest, Problem
from mirrorsite.query import query_of

#: What the description can be asked for as: JSON first, then YAML (RFC 9512) and its
#: older names.
_MEDIA_TYPES = (
    "application/json",
    "application/yaml",
    "application/x-yaml",
    "text/yaml",
    "text/x-yaml",
)
#: It changes with a release only.
_CACHED = {"Cache-Control": "public, max-age=300"}
#: drf-spectacular looks up its extensions when it first meets them, and writes what it
#: found into classes that all threads share: two at once and one of them fails.
_GENERATING = threading.Lock()


def openapi() -> dict[str, Any]:
    """Return the API's description; generated once in a process."""
    with _GENERATING:
        return _generated()


@cache
def _generated() -> dict[str, Any]:
    described: dict[str, Any] = SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]
    return described


@cache
def openapi_yaml() -> str:
    """Return the description as it is committed in docs/openapi.yaml."""
    return yaml.dump(openapi(), Dumper=_PlainDumper, sort_keys=False, width=88)


class _PlainDumper(yaml.SafeDumper):
    """YAML without aliases: what occurs twice stands there twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


class SchemaView(OpenView):
    """The description of this API."""

    @schema.api_schema
    def get(self, request: Request) -> Response | HttpResponse:
        wanted = query_of(request).get("format")
        if wanted not in {None, "json", "yaml"}:
            raise InvalidRequest(
                "format", "invalid-parameter", "format must be json or yaml."
            )
        accept = request._request.headers.get("Accept", "")
        headers = _CACHED | {"Vary": "Accept"}
        if wanted is None and preferred(accept, _MEDIA_TYPES) != _MEDIA_TYPES[0]:
            wanted = "yaml"
        if wanted == "yaml":
            return HttpResponse(
                openapi_yaml(), content_type="application/yaml", headers=headers
            )
        return Response(openapi(), headers=headers)


class ProblemListView(OpenView):
    """Every type of problem."""

    @schema.problem_list
    def get(self, request: Request) -> Response:
        return Response(
            {"problems": [_described(kind) for kind in PROBLEM_TYPES.values()]},
            headers=_CACHED,
        )


class ProblemTypeView(OpenView):
    """What a problem's `type` leads to."""

    @schema.problem_type
    def get(self, request: Request, slug: str) -> Response:
        if slug not in PROBLEM_TYPES:
            raise Problem(404, "not-found", "There is no such type of problem.")
        return Response(_described(PROBLEM_TYPES[slug]), headers=_CACHED)


def _described(kind: ProblemType) -> dict[str, Any]:
    members = asdict(kind)
    del members["slug"]
    return {"type": kind.uri, **members}


class DocsView(OpenView):
    """Swagger UI from our own /static, under a policy that lets nothing else in."""

    schema = None  # a page, no operation

    def get(self, request: Request) -> HttpResponse:
        response = render(request._request, "mirrorsite/docs.html")
        response.headers["Content-Security-Policy"] = (
            "default-src 'none'; script-src 'self'; style-src 'self';"
            " img-src 'self' data:; connect-src 'self'; base-uri 'none';"
            " form-action 'none'; frame-ancestors 'none'"
        )
        return response
