from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandParser

from mirrorsite.tokens import services
from uploads import trail
from uploads.accounts import recorded_saves
from uploads.management.command import CommandFailed, OperatorCommand
from uploads.models import Action
from uploads.trail import write_transaction


class Command(OperatorCommand):
    help = (
        "Print a token for a program of ours, such as the canary. It may upload and"
        " read. Each run prints the same one until it expires or is revoked."
    )
    so_far = "no token was created, and one that was printed is not valid"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "program", help="its owner; the events say token:PROGRAM-TIME-NUMBER"
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
            with write_transaction(), recorded_saves(self.actor()):
                token, secret, is_new = services.issue_token(program=program, days=days)
                if is_new:
                    trail.note(Action.TOKEN_MADE, self.actor(), detail=token.facts())
                self.print(secret)
                self.stdout.flush()
        except ValidationError as error:
            raise CommandFailed(" ".join(error.messages)) from error
