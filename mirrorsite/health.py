"""Liveness and readiness."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from mirrorsite import schema
from mirrorsite.api import OpenView
from mirrorsite.fast_path import Fields
from mirrorsite.problems import Problem
from mirrorsite.readiness import readiness


def fast_answer(query: bytes) -> tuple[bytes, Fields] | None:
    """Return what `HealthView` answers, for `mirrorsite.fast_path`."""
    return b'{"status":"ok"}', []


class HealthView(OpenView):
    """The process answers: no database, no bucket. For every probe of the pod."""

    @schema.health
    def get(self, request: Request) -> Response:
        return Response({"status": "ok"}, headers={"Cache-Control": "no-store"})


class ReadyView(OpenView):
    """What an upload needs is available. For alerts: no probe of a pod asks it.

    Database and bucket are shared, so their outage would take every pod out of the load
    balancer, and health and mirror with them.
    """

    @schema.ready
    def get(self, request: Request) -> Response:
        checks = readiness.checks()
        if any(outcome != "ok" for outcome in checks.values()):
            raise Problem(
                503,
                "not-ready",
                "Something that an upload needs is away.",
                checks=checks,
            )
        return Response(
            {"status": "ok", "checks": checks}, headers={"Cache-Control": "no-store"}
        )
