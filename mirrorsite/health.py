"""Liveness and readiness."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from mirrorsite.api import Endpoint
from mirrorsite.openapi import answer, problem_responses
from mirrorsite.problems import Problem
from mirrorsite.readiness import readiness
from mirrorsite.serializers import HealthSerializer, ReadySerializer
from mirrorsite.server.responses import Fields

_EXAMPLE_CHECKS = {"database": "ok", "migrations": "ok", "bucket": "ok"}


def fast_answer(query: bytes) -> tuple[bytes, Fields]:
    """Return the body of `HealthView`'s answer; no header field depends on the query."""
    return b'{"status":"ok"}', []


class HealthView(Endpoint):
    """Needs neither database nor bucket: for every probe of the pod."""

    @extend_schema(
        operation_id="health",
        summary="Is the process alive?",
        tags=["probes"],
        responses={200: answer(HealthSerializer, "It answers.", {"status": "ok"})},
    )
    def get(self, request: Request) -> Response:
        return Response({"status": "ok"}, headers={"Cache-Control": "no-store"})


class ReadyView(Endpoint):
    """Check database, migrations and bucket, at most every few seconds: for alerts."""

    # Not for a probe of the pod. All pods share database and bucket, so their outage
    # would take every pod, with health and mirror, out of the load balancer.

    @extend_schema(
        operation_id="ready",
        summary="Can an upload succeed?",
        tags=["probes"],
        responses={
            200: answer(
                ReadySerializer,
                "Everything that an upload needs is available.",
                {"status": "ok", "checks": _EXAMPLE_CHECKS},
            ),
            **problem_responses(
                "/api/ready",
                "not-ready",
                members={
                    "not-ready": {
                        "checks": _EXAMPLE_CHECKS
                        | {"bucket": "unavailable: there is no such bucket"}
                    }
                },
            ),
        },
    )
    def get(self, request: Request) -> Response:
        checks = readiness.checks()
        if any(outcome != "ok" for outcome in checks.values()):
            raise Problem(
                "not-ready",
                "Something that an upload needs is unavailable; see checks.",
                checks=checks,
            )
        return Response(
            {"status": "ok", "checks": checks}, headers={"Cache-Control": "no-store"}
        )
