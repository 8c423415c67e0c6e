"""The errors of this app."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from mirrorsite.errors import ExitStatus, ServiceError

if TYPE_CHECKING:
    from uploads.models import Upload


class UploadsError(ServiceError):
    """Base of the errors of this app."""


class StoreError(UploadsError):
    """A request to the object store failed, or may have failed."""


class StoreRefusedError(StoreError):
    """The store refused the request, which changed nothing there.

    `code` is S3's error code, the status if the answer has none, or empty.
    """

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class StoreRedirectError(StoreRefusedError):
    """The store redirected to another URL or region; redirects are not followed."""


class StoreUnavailableError(StoreError):
    """The store could not be reached, or failed.

    `outcome_unknown` is True if the request may have been carried out all the same (the
    answer was lost, or the store failed while it processed the request).
    """

    def __init__(self, message: str, *, outcome_unknown: bool) -> None:
        super().__init__(message)
        self.outcome_unknown = outcome_unknown


class StoreFailedError(StoreUnavailableError):
    """The store reported a temporary failure (429, 5xx), or the answer is not S3's."""


class StoreCredentialsError(StoreUnavailableError):
    """There are no credentials to sign a request with; nothing was sent."""

    def __init__(self, message: str) -> None:
        super().__init__(message, outcome_unknown=False)


class StoreBusyError(UploadsError):
    """Too many requests use the store; this one was not started."""


class ObjectExistsError(StoreRefusedError):
    """The bucket already has an object with this key (412 Precondition Failed)."""


class ObjectMissingError(StoreRefusedError):
    """There is no object with this key (404)."""


class BucketMissingError(StoreRefusedError):
    """The configured bucket does not exist; whether an object exists is unknown."""


class OtherBucketError(StoreRefusedError):
    """The recorded object is in a bucket other than the configured one."""


class ObjectChangedError(StoreError):
    """The object has been replaced or deleted (412 or 404)."""


class TrailUnavailableError(UploadsError):
    """The database could not write the record, so the request cannot continue.

    `upload_id` is set if the intent was recorded before the database failed: that
    upload stays pending until reconciliation resolves it.
    """

    upload_id: UUID | None = None


class UnreadableError(UploadsError):
    """A row has a value that the service never writes and that Python cannot read."""


class TransitionError(UploadsError):
    """The upload's status does not allow the action.

    Also raised when another writer has changed the status since it was read.
    """


class AlreadyRecordedError(TransitionError):
    """A record with this id, object key or idempotency key exists already."""


class KeyReusedError(UploadsError):
    """An idempotency key was reused with another body; `upload` is its first upload."""

    def __init__(self, message: str, *, upload: Upload) -> None:
        super().__init__(message)
        self.upload = upload


class StillRunningError(UploadsError):
    """Another request with the same idempotency key is in progress.

    It can take up to `seconds` longer.
    """

    def __init__(self, message: str, *, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class AppendOnlyError(UploadsError):
    """The row must not be deleted."""


class SealError(UploadsError):
    """A seal, its copy in the bucket and the database contradict each other."""

    exit_status = ExitStatus.DIFFERENCES


class AuditKeyError(UploadsError):
    """A required audit key is not set, or was replaced."""

    exit_status = ExitStatus.MISCONFIGURED


class UploadFailedError(UploadsError):
    """The upload was recorded but did not succeed; `upload` has its status."""

    def __init__(self, message: str, *, upload: Upload) -> None:
        super().__init__(message)
        self.upload = upload
