"""What ./sre/hammer does: load, faults, and the promise checked afterwards."""

from __future__ import annotations
