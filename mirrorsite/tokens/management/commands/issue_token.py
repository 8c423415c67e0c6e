from __future__ import annotations

from functools import partial
from typing import Any

from django.core.management.base import CommandParser

from mirrorsite.management.arguments import positive_count
from mirrorsite.management.base import OperatorCommand
from mirrorsite.tokens import services
from uploads.audit.log import write_transaction


class Command(OperatorCommand):
    help = (
        "Print a token for an internal program, such as the canary. It may upload and"
        " read. Each run prints the same token, until an hour before it expires or until"
        " it is revoked."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "program",
            help="the program's name, which is also the user name of the token's owner;"
            " in events, the actor is token:PROGRAM-TIME-HEX",
        )
        parser.add_argument(
            "--days",
            type=partial(positive_count, most=90),
            default=30,
            help="days for which a new token is valid, 1 to 90; default: %(default)s",
        )

    def run(self, *, program: str, days: int, **options: Any) -> None:
        self.so_far = f"no token was created for the program {program!r}"
        # Rolled back if the secret cannot be printed, as `so_far` reports.
        with write_transaction():
            _, secret = services.issue_token(
                program=program, days=days, actor=self.actor()
            )
            self.print(secret)
            self.stdout.flush()
