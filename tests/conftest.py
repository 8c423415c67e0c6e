"""The servers that the tests use: PostgreSQL and S3; and one bucket for each test."""

from __future__ import annotations

import logging
import os
import secrets
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock
from urllib.parse import quote, urlsplit

import pytest
from botocore.exceptions import ClientError
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from hypothesis import settings as hypothesis_settings

from mirrorsite.database import connection_settings
from mirrorsite.readiness import readiness
from sre.lib.object_store import ObjectStore
from sre.lib.ports import free_port
from sre.lib.postgres import temporary_server
from sre.lib.service import Service
from tests.faulty_store import FaultyStore
from tests.settings import EMBEDDED
from uploads.storage import UploadStorage, upload_storage
from uploads.storage.configuration import Transport

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

# Half of Hypothesis' own number: each run draws other examples.
hypothesis_settings.register_profile("suite", deadline=None, max_examples=50)
hypothesis_settings.load_profile("suite")

_servers = pytest.StashKey[ExitStack]()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Start one PostgreSQL for the run, unless DATABASE_URL names one.

    It runs before pytest-xdist starts its workers, which inherit DATABASE_URL;
    pytest-django makes a database for each of them.
    """
    if os.environ["DATABASE_URL"] != EMBEDDED:
        return
    servers = session.config.stash[_servers] = ExitStack()
    logging.disable(logging.INFO)  # the embedded server's package logs each command
    url = servers.enter_context(temporary_server(fsync=False)).url
    logging.disable(logging.NOTSET)
    os.environ["DATABASE_URL"] = url
    settings.DATABASES["default"].update(connection_settings(url))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Run the long tests first, which start a service: none begins last and alone.

    pytest-xdist gives each process one stretch of the list.
    """
    processes: int = getattr(config, "workerinput", {}).get("workercount", 1)
    if processes == 1:
        return
    long = [item for item in items if item.get_closest_marker("service")]
    short = [item for item in items if not item.get_closest_marker("service")]
    share = -(-len(short) // processes)
    items[:] = [
        item
        for number in range(processes)
        for item in long[number::processes]
        + short[number * share : (number + 1) * share]
    ]


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash.get(_servers, ExitStack()).close()


@pytest.fixture(autouse=True)
def _fresh_readiness() -> None:
    readiness.forget()


@pytest.fixture
def make_fail(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that lets another one raise whenever it is called."""

    def make(owner: object, name: str, error: Any) -> None:
        monkeypatch.setattr(owner, name, Mock(side_effect=error))

    return make


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """Return a function that has a function's calls listed: by their arguments.

    `before` and `after` are called with the same arguments.
    """
    nothing = Mock()

    def install(
        owner: object, name: str, *, before: Any = nothing, after: Any = nothing
    ) -> list[Any]:
        real, calls = getattr(owner, name), []

        def spied(*arguments: Any, **options: Any) -> Any:
            calls.append(arguments)
            before(*arguments, **options)
            result = real(*arguments, **options)
            after(*arguments, **options)
            return result

        monkeypatch.setattr(owner, name, spied)
        return calls

    return install


@pytest.fixture
def staff(db: None) -> Client:
    """Return a client with the session of an auditor; it needs CSRF tokens."""
    user = User.objects.create_user("sam", is_staff=True)
    user.groups.add(Group.objects.get(name="auditors"))
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    return client


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
def make_storage(settings: Any) -> Any:
    """Return a function that changes options of the default storage."""

    def make(**options: Any) -> UploadStorage:
        changed = dict(settings.STORAGES)
        changed["default"] = {
            "BACKEND": "uploads.storage.UploadStorage",
            "OPTIONS": changed["default"]["OPTIONS"] | options,
        }
        settings.STORAGES = changed
        return upload_storage()

    return make


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
    transport.http.close()


@pytest.fixture(scope="session")
def used_buckets() -> deque[str]:
    """Return the names of earlier tests' buckets, emptied, the oldest first."""
    return deque()


@pytest.fixture
def bucket(
    object_store: ObjectStore,
    make_storage: Any,
    s3_transport: Transport,
    used_buckets: deque[str],
) -> Iterator[UploadStorage]:
    """Return the project's storage on an empty bucket of the real S3 server.

    Buckets are used again, because the server needs 0.2 s for the first object of a new
    one; each rests for two tests, in case a request of its last one is still under way.
    """
    client, name = s3_transport.client, f"test-{secrets.token_hex(6)}"
    if len(used_buckets) > 2:
        rested = used_buckets.popleft()
        if is_empty(client, rested):
            name = rested
    storage: UploadStorage = make_storage(
        bucket_name=name,
        endpoint_url=object_store.url,
        access_key=object_store.access_key,
        secret_key=object_store.secret_key,
    )
    storage.store.connect(replace(s3_transport, url=f"{object_store.url}/{name}/"))
    storage.ensure_bucket()
    yield storage
    with suppress(ClientError):  # the test has deleted it
        if "Status" not in client.get_bucket_versioning(Bucket=name):
            empty(client, name)
            used_buckets.append(name)


def is_empty(client: S3Client, bucket: str) -> bool:
    if client.list_objects_v2(Bucket=bucket)["KeyCount"]:
        return False
    return not client.list_multipart_uploads(Bucket=bucket).get("Uploads")


def empty(client: S3Client, bucket: str) -> None:
    """Delete what is in a bucket, up to a thousand objects."""
    for found in client.list_objects_v2(Bucket=bucket).get("Contents", []):
        client.delete_object(Bucket=bucket, Key=found["Key"])
    for begun in client.list_multipart_uploads(Bucket=bucket).get("Uploads", []):
        client.abort_multipart_upload(
            Bucket=bucket, Key=begun["Key"], UploadId=begun["UploadId"]
        )


@pytest.fixture
def other_bucket(bucket: UploadStorage, make_storage: Any) -> Iterator[Any]:
    """Return a function that configures another bucket, one that exists or does not."""
    made: list[UploadStorage] = []

    def change(*, exists: bool = True) -> UploadStorage:
        storage: UploadStorage = make_storage(
            bucket_name=f"other-{secrets.token_hex(6)}",
            endpoint_url=bucket.configuration.endpoint_url,
            access_key=bucket.configuration.access_key,
            secret_key=bucket.configuration.secret_key,
        )
        url = f"{bucket.configuration.endpoint_url}/{storage.bucket_name}/"
        storage.store.connect(replace(bucket.store.transport, url=url))
        if exists:
            storage.ensure_bucket()
            made.append(storage)
        return storage

    yield change
    for storage in made:
        empty(storage.client, storage.bucket_name)
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
def empty_database(transactional_db: None) -> Iterator[str]:
    """Return the name of an empty database."""
    name = f"restored_{secrets.token_hex(4)}"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
    yield name
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def service_environment(
    object_store: ObjectStore, bucket: UploadStorage, db: None
) -> dict[str, str]:
    """Return variables that let a process use the test's database and bucket."""
    return {
        "DJANGO_SETTINGS_MODULE": "mirrorsite.settings",
        "DATABASE_URL": service_database_url(),
        **object_store.environment(bucket.bucket_name),
    }


@pytest.fixture
def start_service(
    service_environment: dict[str, str], transactional_db: None, tmp_path: Path
) -> Iterator[Callable[..., Service]]:
    """Return a function that starts gunicorn on the test's database and bucket.

    Its keyword arguments are environment variables. What the service wrote is read
    in the test through Django's models: both use the same database.
    """
    started: list[Service] = []

    def start(**environment: str) -> Service:
        service = Service(
            {
                **service_environment,
                "STATIC_ROOT": str(tmp_path / "static"),
                "LOG_FORMAT": "json",
                "WEB_CONCURRENCY": "2",
                # Where a service that is killed may leave files.
                "TMPDIR": str(tmp_path),
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
        service.kill()


@pytest.fixture
def live_service(start_service: Callable[..., Service]) -> Service:
    """Return a running service with the default configuration of the tests."""
    return start_service()


def service_database_url(name: str = "") -> str:
    """Return the URL of the test's database, or of another one on the same server."""
    path = "/" + quote(name or connection.settings_dict["NAME"])
    return urlsplit(os.environ["DATABASE_URL"])._replace(path=path).geturl()
