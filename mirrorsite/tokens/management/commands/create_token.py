from __future__ import annotations

import json
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from mirrorsite.actors import Actor
from mirrorsite.tokens import services
from mirrorsite.tokens.models import Scope
from uploads import trail
from uploads.models import Action
from uploads.trail import write_transaction


class Command(BaseCommand):
    help = "Make an API token and print it; it is shown this once and not kept."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="unique; the trail says token:<name>")
        parser.add_argument("--owner", required=True, help="the owner's user name")
        parser.add_argument(
            "--scope",
            action="append",
            required=True,
            dest="scopes",
            choices=Scope.values,
            help="give it twice for both",
        )
        parser.add_argument(
            "--days",
            type=int,
            default=services.DEFAULT_DAYS,
            help=f"how long it is valid, 1 to {services.MAX_DAYS}; default: %(default)s",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(
        self,
        *,
        name: str,
        owner: str,
        scopes: list[str],
        days: int,
        json: bool,
        **options: Any,
    ) -> None:
        user = get_user_model().objects.filter(username=owner).first()
        if user is None:
            raise CommandError(f"There is no user {owner!r}; name an existing one.")
        actor = Actor(name="command:create_token")
        try:
            # No token without its event.
            with write_transaction():
                token, secret = services.create_token(
                    owner=user,
                    name=name,
                    scopes=[Scope(scope) for scope in scopes],
                    days=days,
                )
                trail.note(Action.TOKEN_MADE, actor, detail=token.facts())
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        if json:
            self.stdout.write(_as_json(name, owner, token.scopes, token.expiry, secret))
            return
        self.stderr.write(
            f"token {name} of {owner}, valid until {token.expiry:%Y-%m-%d %H:%M} UTC;"
            " shown only this once:"
        )
        self.stdout.write(secret)


def _as_json(
    name: str, owner: str, scopes: frozenset[Scope], expiry: Any, secret: str
) -> str:
    return json.dumps(
        {
            "name": name,
            "owner": owner,
            "scopes": sorted(scope.value for scope in scopes),
            "expires_at": expiry.isoformat().replace("+00:00", "Z"),
            "token": secret,
        }
    )
