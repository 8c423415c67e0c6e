from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from mirrorsite.management.base import DifferencesFound, OperatorCommand
from uploads.storage import upload_storage


class Command(OperatorCommand):
    help = "Create the bucket when it does not exist yet."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--dry-run", action="store_true", help="only report whether it exists"
        )
        self.add_json_argument(parser, "one JSON object")

    def run(self, *, dry_run: bool, as_json: bool, **options: Any) -> None:
        storage = upload_storage()
        if dry_run:
            state = "exists" if storage.bucket_exists() else "missing"
        else:
            self.so_far = "the bucket was not created, unless the answer was lost"
            state = "created" if storage.ensure_bucket() else "exists"
        self.so_far = f"bucket {storage.bucket_name}: {state}"
        value = {"bucket": storage.bucket_name, "state": state}
        self.print_result(value, self.so_far, as_json=as_json)
        if state == "missing":
            raise DifferencesFound(f"there is no bucket {storage.bucket_name}.")
