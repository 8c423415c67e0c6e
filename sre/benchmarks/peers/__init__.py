"""The peers' applications; they run in an environment of their own, .venv-bench."""

from __future__ import annotations
