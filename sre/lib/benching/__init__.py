"""What ./sre/bench does: the service beside its peers, on one machine, in one run."""

from __future__ import annotations
