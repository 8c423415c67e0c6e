from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from mirrorsite.management.base import CommandFailed, OperatorCommand
from mirrorsite.tokens import services
from mirrorsite.tokens.models import Token
from uploads.audit import log
from uploads.audit.log import write_transaction
from uploads.models import Action


class Command(OperatorCommand):
    help = "Revoke an API token by its name; its requests are answered 401 at once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="as given to create_token")

    def run(self, *, name: str, **options: Any) -> None:
        token = Token.objects.filter(name=name).first()
        if token is None:
            raise CommandFailed(f"There is no token {name!r}.")
        # Both or neither.
        with write_transaction():
            revoked = services.revoke_token(token)
            if revoked:
                log.note(Action.TOKEN_REVOKED, self.actor(), detail=token.facts())
        if revoked:
            self.print(f"token {name} is revoked")
        else:
            self.print(f"token {name} was revoked before; nothing changed")
