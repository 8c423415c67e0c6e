"""The API's description, its problem types, and a page to browse them."""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiYamlRenderer
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from mirrorsite.api import Endpoint
from mirrorsite.headers import PAGE_HEADERS
from mirrorsite.openapi import answer, problem_responses
from mirrorsite.problem_types import PROBLEM_TYPES
from mirrorsite.problems import InvalidRequest, Problem
from mirrorsite.query import query_of
from mirrorsite.serializers import ProblemTypeSerializer, ProblemTypesSerializer

#: Representations of the description: JSON first, then YAML (RFC 9512) and its older
#: names.
_MEDIA_TYPES = (
    "application/json",
    "application/yaml",
    "application/x-yaml",
    "text/yaml",
    "text/x-yaml",
)
#: The description changes only with a release.
_CACHE_HEADERS = {"Cache-Control": "public, max-age=300"}
_EXAMPLE = dict(ProblemTypeSerializer(PROBLEM_TYPES["word-missing"]).data)
#: Serialises generation: drf-spectacular's caches are shared by all threads.
_GENERATING = threading.Lock()


@cache
def openapi() -> dict[str, Any]:
    """Return the API's description; generated once per process."""
    with _GENERATING:
        described: dict[str, Any] = SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]
    return described


@cache
def openapi_yaml() -> str:
    """Return the description as it is committed in docs/openapi.yaml."""
    rendered: bytes = OpenApiYamlRenderer().render(openapi())  # type: ignore[no-untyped-call]
    return rendered.decode()


class SchemaView(Endpoint):
    """OpenAPI 3.1: JSON, or YAML with ?format=yaml or an Accept that prefers it."""

    @extend_schema(
        operation_id="schema",
        summary="This description",
        tags=["about"],
        parameters=[
            OpenApiParameter(
                "format", enum=["json", "yaml"], description="Default: json."
            )
        ],
        responses={
            (200, media_type): OpenApiResponse({"type": "object"}, "The description.")
            for media_type in _MEDIA_TYPES[:2]
        }
        | problem_responses("/api/schema", "invalid-parameter"),
    )
    def get(self, request: Request) -> Response | HttpResponse:
        wanted = query_of(request).get("format")
        if wanted not in {None, "json", "yaml"}:
            detail = "format must be json or yaml."
            raise InvalidRequest("format", "invalid-parameter", detail)
        if wanted is None:
            preferred = request._request.get_preferred_type(_MEDIA_TYPES)
            wanted = "json" if preferred in {None, "application/json"} else "yaml"
        headers = _CACHE_HEADERS | {"Vary": "Accept"}
        if wanted == "json":
            return Response(openapi(), headers=headers)
        return HttpResponse(
            openapi_yaml(), content_type="application/yaml", headers=headers
        )


class ProblemListView(Endpoint):
    """Every type of problem."""

    @extend_schema(
        operation_id="problems",
        summary="Every type of problem",
        tags=["about"],
        responses={
            200: answer(ProblemTypesSerializer, "All types.", {"problems": [_EXAMPLE]})
        },
    )
    def get(self, request: Request) -> Response:
        listed = ProblemTypesSerializer({"problems": PROBLEM_TYPES.values()})
        return Response(listed.data, headers=_CACHE_HEADERS)


class ProblemTypeView(Endpoint):
    """The `type` of a problem is the path of this operation."""

    @extend_schema(
        operation_id="problem",
        summary="What one type of problem means",
        tags=["about"],
        parameters=[
            OpenApiParameter(
                "slug", location="path", description="The last part of the type."
            )
        ],
        responses={
            200: answer(ProblemTypeSerializer, "Its meaning.", _EXAMPLE),
            **problem_responses("/api/problems/unheard-of", "not-found"),
        },
    )
    def get(self, request: Request, slug: str) -> Response:
        if slug not in PROBLEM_TYPES:
            raise Problem("not-found", "There is no such type of problem.")
        kind = ProblemTypeSerializer(PROBLEM_TYPES[slug])
        return Response(kind.data, headers=_CACHE_HEADERS)


class DocsView(Endpoint):
    """Swagger UI, from our own /static."""

    schema = None  # a page, not an operation

    def get(self, request: Request) -> HttpResponse:
        response = render(request._request, "mirrorsite/docs.html")
        # The middleware would set the policy of API answers, which allows no scripts.
        name = "Content-Security-Policy"
        response.headers[name] = PAGE_HEADERS[name]
        return response
