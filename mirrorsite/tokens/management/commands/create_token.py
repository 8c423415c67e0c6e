from __future__ import annotations

from functools import partial
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import CommandParser

from mirrorsite.management.arguments import positive_count
from mirrorsite.management.base import CommandFailed, OperatorCommand
from mirrorsite.tokens import services
from mirrorsite.tokens.models import Scope
from uploads.audit.log import write_transaction


class Command(OperatorCommand):
    help = "Create an API token and print it; it is shown once and not stored."
    so_far = "no token was created; if one was printed, it is not valid"
    json_output = "one JSON object"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "name", help="unique; in events the actor is called token:<name>"
        )
        parser.add_argument("--owner", required=True, help="the owner's user name")
        parser.add_argument(
            "--scope",
            action="append",
            required=True,
            dest="scopes",
            choices=Scope.values,
            help="what the token may be used for; repeat the option for both",
        )
        parser.add_argument(
            "--days",
            type=partial(positive_count, most=services.MAX_DAYS),
            default=services.DEFAULT_DAYS,
            help=f"days for which it is valid, 1 to {services.MAX_DAYS}; default: %(default)s",
        )

    def run(
        self,
        *,
        name: str,
        owner: str,
        scopes: list[str],
        days: int,
        **options: Any,
    ) -> None:
        user = get_user_model().objects.filter(username=owner).first()
        if user is None:
            raise CommandFailed(f"There is no user {owner!r}; name an existing one.")
        # Committed only after the secret is printed: otherwise it could be lost.
        with write_transaction():
            token, secret = services.create_token(
                owner=user,
                name=name,
                scopes=[Scope(scope) for scope in scopes],
                days=days,
                actor=self.actor(),
            )
            if self.as_json:
                created = {
                    "name": name,
                    "owner": owner,
                    "scopes": sorted(token.scopes),
                    "expires_at": token.expiry.isoformat().replace("+00:00", "Z"),
                    "token": secret,
                }
                self.print_json(created)
            else:
                # Standard output holds the secret alone.
                self.note(
                    f"token {name} of {owner}, valid until"
                    f" {token.expiry:%Y-%m-%d %H:%M} UTC; shown only this once:"
                )
                self.print(secret)
            self.stdout.flush()
