"""Failure injection: what ./sre/hammer breaks, and the promise it checks afterwards."""

from __future__ import annotations
