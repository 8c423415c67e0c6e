"""The base of every error that the service raises on purpose."""

from __future__ import annotations

from typing import ClassVar

from mirrorsite.exit_status import ExitStatus


class ServiceError(Exception):
    """An expected error: its text is a sentence for the user.

    `exit_status` is what a command that ends with it reports.
    """

    exit_status: ClassVar[ExitStatus] = ExitStatus.COULD_NOT_RUN


class AppendOnlyError(ServiceError):
    """A change or deletion of a row that the table does not allow."""
