from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from mirrorsite.actors import Actor
from mirrorsite.tokens import services
from mirrorsite.tokens.models import Token
from uploads import trail
from uploads.models import Action
from uploads.trail import write_transaction


class Command(BaseCommand):
    help = "Revoke an API token by its name; its requests are answered 401 at once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="as given to create_token")

    def handle(self, *, name: str, **options: Any) -> None:
        token = Token.objects.filter(name=name).first()
        if token is None:
            raise CommandError(f"There is no token {name!r}.")
        actor = Actor(name="command:revoke_token")
        # Both or neither.
        with write_transaction():
            revoked = services.revoke_token(token)
            if revoked:
                trail.note(Action.TOKEN_REVOKED, actor, detail=token.facts())
        if revoked:
            self.stdout.write(f"token {name} is revoked")
        else:
            self.stdout.write(f"token {name} was revoked before; nothing changed")
