from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from mirrorsite.management.base import CommandFailed, OperatorCommand
from mirrorsite.tokens import services
from mirrorsite.tokens.models import Token


class Command(OperatorCommand):
    help = "Revoke an API token by its name; requests with it get 401 immediately."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="the token's name")

    def run(self, *, name: str, **options: Any) -> None:
        token = Token.objects.filter(name=name).first()
        if token is None:
            raise CommandFailed(f"There is no token {name!r}.")
        if services.revoke_token(token, self.actor()):
            self.so_far = f"token {name} is revoked"
        else:
            self.so_far = f"token {name} was revoked before; nothing changed"
        self.print(self.so_far)
