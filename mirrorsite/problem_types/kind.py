"""What is declared of one kind of error. No Django here."""

from __future__ import annotations

from dataclasses import dataclass

TYPE_PREFIX = "/api/problems/"


@dataclass(frozen=True, slots=True)
class ProblemType:
    """One kind of error: its status, what it means, what a client can do."""

    slug: str
    status: int
    title: str
    meaning: str
    remedy: str

    @property
    def uri(self) -> str:
        return TYPE_PREFIX + self.slug
