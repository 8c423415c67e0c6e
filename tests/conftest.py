"""What the tests stand on: a real S3 server, and one bucket for each test."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from django.conf import settings
from django.core.files.storage import storages
from django.db import connection
from django.db.backends.base.operations import BaseDatabaseOperations
from hypothesis import settings as hypothesis_settings

from mirrorsite.readiness import readiness
from sre.lib.object_store import ObjectStore
from sre.lib.ports import free_port
from sre.lib.service import Service
from tests.faulty_store import FaultyStore
from uploads.audit import triggers
from uploads.services import upload_storage
from uploads.storage import UploadStorage
from uploads.storage.client import Transport

hypothesis_settings.register_profile("suite", deadline=None)
hypothesis_settings.load_profile("suite")

_DATABASE_FIXTURES = {"db", "transactional_db", "django_db_setup"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what touches the database; that part runs on PostgreSQL as well."""
    for item in items:
        uses = set(getattr(item, "fixturenames", ()))
        if item.get_closest_marker("django_db") or uses & _DATABASE_FIXTURES:
            item.add_marker(pytest.mark.database)


@pytest.fixture(autouse=True)
def _fresh_readiness() -> None:
    readiness.forget()


@pytest.fixture(scope="session", autouse=True)
def _flush_as_owner() -> Iterator[None]:
    """Let the flush after a transactional test empty append-only tables.

    It owns the tables, so it may take the triggers away meanwhile; nobody else here
    does but the tests that tamper.
    """
    flush = BaseDatabaseOperations.execute_sql_flush

    def execute_sql_flush(self: BaseDatabaseOperations, statements: list[str]) -> None:
        with triggers.removed(self.connection):
            flush(self, statements)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseDatabaseOperations, "execute_sql_flush", execute_sql_flush)
        yield


@pytest.fixture
def postgresql(db: None) -> None:
    """Skip the test on any other database."""
    if connection.vendor != "postgresql":
        pytest.skip("PostgreSQL only; it runs in the PostgreSQL part of ./sre/test")


@pytest.fixture(scope="session")
def object_store() -> Iterator[ObjectStore]:
    """Run one SeaweedFS for the whole session."""
    with tempfile.TemporaryDirectory(prefix="mirrorsite-store-") as directory:
        store = ObjectStore(Path(directory), free_port(), "test-key", "test-secret")
        store.start()
        try:
            yield store
        finally:
            store.kill()


@pytest.fixture
def make_storage(settings: Any) -> Iterator[Any]:
    """Return a function that changes options of the default storage."""

    def make(**options: Any) -> UploadStorage:
        changed = dict(settings.STORAGES)
        changed["default"] = {
            "BACKEND": "uploads.storage.UploadStorage",
            "OPTIONS": changed["default"]["OPTIONS"] | options,
        }
        settings.STORAGES = changed
        return upload_storage()

    yield make
    for storage in list(vars(storages)["_storages"].values()):
        if isinstance(storage, UploadStorage):
            storage.close()


@pytest.fixture(scope="session")
def s3_transport(object_store: ObjectStore) -> Iterator[Transport]:
    """Build one client for all buckets; each takes a quarter of a second."""
    default: Any = settings.STORAGES["default"]
    options = default["OPTIONS"] | {
        "endpoint_url": object_store.url,
        "access_key": object_store.access_key,
        "secret_key": object_store.secret_key,
    }
    transport = UploadStorage(**options).store.transport
    yield transport
    transport.close()


@pytest.fixture
def bucket(
    object_store: ObjectStore, make_storage: Any, s3_transport: Transport
) -> Iterator[UploadStorage]:
    """Return the project's storage on a new bucket of the real S3 server."""
    storage: UploadStorage = make_storage(
        bucket_name=f"test-{secrets.token_hex(6)}",
        endpoint_url=object_store.url,
        access_key=object_store.access_key,
        secret_key=object_store.secret_key,
    )
    storage.store.use_transport(s3_transport)
    storage.ensure_bucket()
    yield storage
    storage.store.use_transport(None)


@pytest.fixture
def other_bucket(bucket: UploadStorage, make_storage: Any) -> Iterator[Any]:
    """Return a function that configures another bucket, one that exists or does not."""
    made: list[UploadStorage] = []

    def change(*, exists: bool = True) -> UploadStorage:
        storage: UploadStorage = make_storage(
            bucket_name=f"other-{secrets.token_hex(6)}",
            endpoint_url=bucket.endpoint_url,
            access_key=bucket.access_key,
            secret_key=bucket.secret_key,
        )
        storage.store.use_transport(bucket.store.transport)
        if exists:
            storage.ensure_bucket()
            made.append(storage)
        return storage

    yield change
    for storage in made:
        for key in storage.list_keys(""):
            storage.client.delete_object(Bucket=storage.bucket_name, Key=key)
        storage.client.delete_bucket(Bucket=storage.bucket_name)


@pytest.fixture
def faulty_store(
    object_store: ObjectStore, bucket: UploadStorage, make_storage: Any
) -> Iterator[FaultyStore]:
    """Put a misbehaving proxy between the default storage and the test's bucket.

    A busy machine's real answers are waited for: to give one up would be a fault more
    than the test has planned. Where the proxy hangs, the test sets shorter timeouts.
    """
    proxy = FaultyStore(object_store.port)
    make_storage(
        bucket_name=bucket.bucket_name,
        endpoint_url=proxy.url,
        access_key=object_store.access_key,
        secret_key=object_store.secret_key,
        connect_timeout=30.0,
        read_timeout=30.0,
    )
    yield proxy
    proxy.stop()


@pytest.fixture
def start_service(
    object_store: ObjectStore,
    bucket: UploadStorage,
    transactional_db: None,
    tmp_path: Path,
) -> Iterator[Callable[..., Service]]:
    """Return a function that starts gunicorn on the test's database and bucket.

    Its keyword arguments are environment variables. What the service wrote is read
    in the test through Django's models: both use the same database.
    """
    started: list[Service] = []

    def start(**environment: str) -> Service:
        service = Service(
            {
                "DATABASE_URL": service_database_url(),
                **object_store.environment(bucket.bucket_name),
                "STATIC_ROOT": str(tmp_path / "static"),
                "LOG_FORMAT": "json",
                **environment,
            },
            log=tmp_path / f"service-{len(started)}.log",
        )
        (tmp_path / "static").mkdir(exist_ok=True)
        service.start()
        started.append(service)
        return service

    yield start
    for service in started:
        service.stop()


@pytest.fixture
def live_service(start_service: Callable[..., Service]) -> Service:
    """Return a running service with the default configuration of the tests."""
    return start_service()


def service_database_url() -> str:
    """Return the URL of the database that pytest-django made."""
    parameters = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{parameters['NAME']}"
    host = parameters["HOST"] or parameters["OPTIONS"].get("host", "")
    user, password = parameters["USER"], parameters["PASSWORD"]
    query = urlencode({"host": host, "port": parameters["PORT"] or 5432})
    return f"postgresql://{quote(user)}:{quote(password)}@/{parameters['NAME']}?{query}"
