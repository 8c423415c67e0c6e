from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from mirrorsite.tokens import services
from uploads import trail
from uploads.models import Action
from uploads.trail import Caller
from uploads.writing import write_transaction


class Command(BaseCommand):
    help = (
        "Issue a token that expires within minutes to a program of ours, such as the"
        " canary, and print it. An earlier token of the same name stops working."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="the events say token:<name>")
        parser.add_argument(
            "--minutes",
            type=int,
            default=10,
            choices=range(1, 61),
            metavar="MINUTES",
            help="how long it is valid, 1 to 60; default: %(default)s",
        )

    def handle(self, *, name: str, minutes: int, **options: Any) -> None:
        caller = Caller(name="command:issue_token")
        try:
            # No token without its event.
            with write_transaction():
                token, secret = services.issue_token(name=name, minutes=minutes)
                trail.note(Action.TOKEN_MADE, caller, detail=token.facts())
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        self.stdout.write(secret)
