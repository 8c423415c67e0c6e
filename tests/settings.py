"""The project's settings with values for the tests, which change single ones."""

from __future__ import annotations

import os

#: Stands for the server that tests/conftest.py starts when DATABASE_URL is not set.
EMBEDDED = "postgresql://postgres@127.0.0.1:1/postgres"

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
os.environ["DATABASE_URL"] = os.environ.get("DATABASE_URL") or EMBEDDED
for _name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"):
    os.environ.pop(_name, None)

from mirrorsite.settings import *  # noqa: E402, F403

INSTALLED_APPS += ["tests.flushing"]  # noqa: F405
# Tests render admin pages without collecting the static files first.
STORAGES["staticfiles"] = {  # noqa: F405
    "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
}
# WhiteNoise would read the folder for each test client.
STATIC_ROOT = ""
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
