"""The project's settings under throw-away values; tests change single ones."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

_scratch = Path(tempfile.mkdtemp(prefix="mirrorsite-tests-"))
atexit.register(shutil.rmtree, _scratch, ignore_errors=True)
os.environ.update(
    {
        "SECRET_KEY": "only-for-tests-" + "0123456789abcdef" * 4,
        "HTTPS_ONLY": "false",
        "ALLOWED_HOSTS": "localhost,127.0.0.1,testserver",
        "AWS_STORAGE_BUCKET_NAME": "mirrorsite-test",
        "AWS_ACCESS_KEY_ID": "test-key",
        "AWS_SECRET_ACCESS_KEY": "test-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "LOG_FORMAT": "text",
        "UPLOAD_RATE_LIMIT": "off",
    }
)
os.environ.setdefault("DATABASE_URL", f"sqlite:///{_scratch}/unused.sqlite3")
for _name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"):
    os.environ.pop(_name, None)

from mirrorsite.settings import *  # noqa: E402, F403

# Tests render admin pages without collecting the static files first.
STORAGES["staticfiles"] = {  # noqa: F405
    "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# A file, so that a service started by a test sees the same database.
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):  # noqa: F405
    DATABASES["default"]["TEST"] = {"NAME": str(_scratch / "tests.sqlite3")}  # noqa: F405
