"""What ./sre/bench measures; `__main__` lists the scenarios."""

from __future__ import annotations
