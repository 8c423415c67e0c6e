from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from uploads.exceptions import StoreError
from uploads.services import upload_storage


class Command(BaseCommand):
    help = "Create the bucket when it does not exist yet. Exit status 2: could not run."

    def handle(self, **options: Any) -> None:
        storage = upload_storage()
        try:
            created = storage.ensure_bucket()
        except StoreError as error:
            raise CommandError(str(error), returncode=2) from error
        state = "created" if created else "is there"
        self.stdout.write(f"bucket {storage.bucket_name}: {state}")
