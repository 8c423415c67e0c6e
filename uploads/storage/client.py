"""One client for all threads, and how it repeats a request."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import botocore.handlers
from botocore.config import Config
from botocore.utils import parse_timestamp
from storages.backends.s3 import S3Storage

from mirrorsite.metrics import watch_store
from uploads.exceptions import StoreUnavailableError
from uploads.storage.answers import translated
from uploads.storage.quick_put import NotHandledError, QuickPut

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

logger = logging.getLogger(__name__)
T = TypeVar("T")


class ClientStorage(S3Storage):
    """django-storages' S3 storage with one client, which counts its own attempts."""

    connect_timeout: float
    read_timeout: float
    max_attempts: int
    max_pool_connections: int
    quick_puts: bool
    bucket_name: str

    def __init__(self, **options: Any) -> None:
        self._client: S3Client | None = None
        self._quick_put: QuickPut | None = None
        self._client_lock = threading.Lock()
        super().__init__(**options)
        self.client_config = Config(
            connect_timeout=self.connect_timeout,
            read_timeout=self.read_timeout,
            max_pool_connections=self.max_pool_connections,
            # Attempts are counted here: botocore does not tell whether an earlier
            # one, whose answer was lost, may have been carried out.
            retries={"mode": "standard", "total_max_attempts": 1},
            # The default CRC32 trailer breaks several S3-compatible stores; each
            # body has an explicit SHA-256 instead.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path" if self.endpoint_url else "auto"},
            signature_version="s3v4",
            tcp_keepalive=True,
        )

    def get_default_settings(self) -> dict[str, Any]:
        return super().get_default_settings() | {
            "connect_timeout": 2.0,
            "read_timeout": 5.0,
            "max_attempts": 2,
            "max_pool_connections": 10,
            "quick_puts": True,
            "file_overwrite": False,
        }

    @property
    def client(self) -> S3Client:
        """The one client of this process; clients are safe for threads, and slow to build."""
        if self._client is None:
            with self._client_lock:
                if self._client is None:
                    self._client = self._build_client()
        return self._client

    def quick_put(self) -> QuickPut | None:
        """Return the short way for small objects; None where it is not to be taken."""
        if self.quick_puts and self._quick_put is None:
            client: Any = self.client
            if client._request_signer._credentials is None:
                return None  # the client says what is missing
            with self._client_lock:
                try:
                    self._quick_put = QuickPut(
                        client,
                        self.bucket_name,
                        connect=self.connect_timeout,
                        read=self.read_timeout,
                    )
                except NotHandledError as error:
                    logger.info("small objects go the client's way: %s", error)
                    self.quick_puts = False
        return self._quick_put

    @property
    def connection(self) -> Any:
        """django-storages builds a resource per thread; one with our client serves all."""
        if getattr(self._connections, "connection", None) is None:
            resource = self._create_session().resource(
                "s3",
                region_name=self.region_name,
                endpoint_url=self.endpoint_url,
                config=self.client_config,
            )
            resource.meta.client = self.client
            self._connections.connection = resource
        return self._connections.connection

    def _build_client(self) -> S3Client:
        session = self._create_session()
        # Two thirds of the time of a listing would go into guessing, object by
        # object, how its time is written. boto3 keeps botocore's session private.
        parsers = session._session.get_component("response_parser_factory")
        parsers.set_parser_defaults(timestamp_parser=parse_store_time)
        client = session.client(
            "s3",
            region_name=self.region_name,
            use_ssl=self.use_ssl,
            endpoint_url=self.endpoint_url,
            config=self.client_config,
            verify=self.verify,
        )
        # "Expect: 100-continue" costs a round trip before each small body.
        client.meta.events.unregister(
            "before-call.s3", botocore.handlers.add_expect_header
        )
        watch_store(client)
        return client

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        for name in ("_client", "_client_lock", "_quick_put"):
            del state[name]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(
            state
            | {
                "_client": None,
                "_client_lock": threading.Lock(),
                "_quick_put": None,
            }
        )

    def _retried(self, request: Callable[[], T]) -> T:
        """Carry out a request that may be repeated; for parts and questions."""
        for attempt in range(1, self.max_attempts):
            try:
                return translated(request)
            except StoreUnavailableError:
                self._pause(attempt)
        return translated(request)

    def _pause(self, attempt: int) -> None:
        # Full jitter, so that clients of a store that came back do not return as one.
        time.sleep(random.uniform(0, 0.1 * 2**attempt))  # noqa: S311


def parse_store_time(value: Any) -> datetime:
    """Read a point of time as botocore does, only faster where it is ISO 8601."""
    if isinstance(value, str) and value.endswith("Z"):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            pass
    parsed: datetime = parse_timestamp(value)
    return parsed
