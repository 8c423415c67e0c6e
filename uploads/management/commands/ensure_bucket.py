from __future__ import annotations

from typing import Any

from mirrorsite.management.base import OperatorCommand
from uploads.storage import upload_storage


class Command(OperatorCommand):
    help = "Create the bucket if it does not exist."
    so_far = "the bucket may not exist yet; run this again"
    json_output = "one JSON object"

    def run(self, **options: Any) -> None:
        storage = upload_storage()
        state = "created" if storage.ensure_bucket() else "exists"
        self.so_far = f"bucket {storage.bucket_name}: {state}"
        value = {"bucket": storage.bucket_name, "state": state}
        self.print_result(value, self.so_far)
