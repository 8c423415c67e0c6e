from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme
from django.core.cache import cache
from django.test import Client

from tests.tokens import bearer, new_token
from tests.uploads import making
from uploads.bulkhead import Bulkhead
from uploads.models import Upload
from uploads.storage import UploadStorage


@pytest.fixture(autouse=True)
def _nothing_cached() -> None:
    cache.clear()


@pytest.fixture
def certified(tmp_path: Path) -> tuple[ssl.SSLContext, Path]:
    """Return TLS for a server on localhost, and the file of the authority to trust."""
    authority, file = trustme.CA(), tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context, file


@pytest.fixture
def no_permit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all permits for the object store be taken."""
    full = Bulkhead(0, 1, max_wait_seconds=0)
    for module in ("services", "object_verification", "admin.views"):
        monkeypatch.setattr(f"uploads.{module}.store_bulkhead", lambda: full)


@pytest.fixture
def upload(bucket: UploadStorage, db: None) -> Upload:
    """Return a stored upload."""
    return making.stored()


@pytest.fixture
def reader() -> Client:
    """Return a client with a token that may read."""
    _, secret = new_token(name="reader")
    client = Client(headers=bearer(secret))
    client.get("/api/uploads")  # writes the last use, which later ones need not
    return client
