"""What the tests of the store send to it."""

from __future__ import annotations

from collections.abc import Callable

from uploads.exceptions import StoreError, StoreUnavailableError
from uploads.payloads import RandomNumbers
from uploads.storage import PART_BYTES, BytesPayload, UploadStorage

METADATA = {"upload-id": "an-id", "request-id": "a-request"}
SMALL = BytesPayload(b"content")
LARGE = RandomNumbers(b"seed", PART_BYTES + 1)


def put_both(storage: UploadStorage) -> None:
    storage.put_new("small", SMALL, METADATA)
    storage.put_new("large", LARGE, METADATA)


#: Every kind of request.
EVERYTHING: tuple[Callable[[UploadStorage], object], ...] = (
    lambda storage: storage.put_new("small", SMALL, METADATA),
    lambda storage: storage.put_new("large", LARGE, METADATA),
    lambda storage: storage.head("small"),
    lambda storage: list(storage.read("small")),
    lambda storage: list(storage.listing("")),
    lambda storage: storage.delete_unchanged("small", "etag"),
    lambda storage: storage.bucket_exists(),
)


def use_everything(storage: UploadStorage) -> None:
    """Send every kind of request, whether it succeeds or not."""
    for request in EVERYTHING:
        try:
            request(storage)
        except StoreUnavailableError as error:
            assert error.outcome_unknown is False  # noqa: PT017
        except StoreError:
            pass
