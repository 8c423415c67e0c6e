"""The base of every error that the service raises on purpose."""

from __future__ import annotations

from typing import ClassVar

from mirrorsite.exit_status import ExitStatus


class ServiceError(Exception):
    """An expected error: its text is a sentence for the user.

    A command that fails with it exits with `exit_status`.
    """

    exit_status: ClassVar[ExitStatus] = ExitStatus.COULD_NOT_RUN


class AppendOnlyError(ServiceError):
    """The row must not be deleted."""
