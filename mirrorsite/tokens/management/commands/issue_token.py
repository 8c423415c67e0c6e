from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandParser

from mirrorsite.management.base import CommandFailed, OperatorCommand
from mirrorsite.tokens import services
from uploads.audit.log import write_transaction


class Command(OperatorCommand):
    help = (
        "Print a token for an internal program, such as the canary. It may upload and"
        " read. Each run prints the same one until it expires or is revoked."
    )
    so_far = "no token was created, and one that was printed is not valid"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "program", help="its owner; events name the actor token:PROGRAM-TIME-NUMBER"
        )
        parser.add_argument(
            "--days",
            type=int,
            default=30,
            choices=range(1, 91),
            metavar="DAYS",
            help="how long a new one is valid, 1 to 90; default: %(default)s",
        )

    def run(self, *, program: str, days: int, **options: Any) -> None:
        try:
            # Committed once the secret is printed: otherwise it could be lost.
            with write_transaction():
                _, secret = services.issue_token(
                    program=program, days=days, actor=self.actor()
                )
                self.print(secret)
                self.stdout.flush()
        except ValidationError as error:
            message = f"The program {program!r}: {' '.join(error.messages)}"
            raise CommandFailed(message) from error
