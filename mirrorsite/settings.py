"""Django's settings, read from the environment alone (see mirrorsite.environment)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import django_stubs_ext
import redis
from django.core.exceptions import ImproperlyConfigured
from django.http.request import split_domain_port

from mirrorsite import headers
from mirrorsite.aws_configuration import check_aws_configuration
from mirrorsite.database import connection_settings
from mirrorsite.environment import MULTIPART_LIMIT_BYTES, Environment

django_stubs_ext.monkeypatch()  # allows ModelAdmin[Upload] at run time

BASE_DIR = Path(__file__).resolve().parent.parent
env = Environment()

# --- The process -----------------------------------------------------------------

DEBUG = env.boolean("DEBUG")
SECRET_KEY = env.text("SECRET_KEY")
if DEBUG:
    SECRET_KEY = SECRET_KEY or "insecure-key-for-debugging-only-" + "0123456789" * 3
elif len(SECRET_KEY) < 50:
    raise ImproperlyConfigured(
        f"SECRET_KEY has {len(SECRET_KEY)} characters; set it to at least 50 random ones"
        " (python -c 'import secrets; print(secrets.token_urlsafe(50))')."
    )
ALLOWED_HOSTS = env.entries("ALLOWED_HOSTS")
for _host in ALLOWED_HOSTS or [""]:  # a value of commas alone has no entries
    # Django compares hosts without their ports: an entry with one would never match.
    if not _host or split_domain_port(_host)[0] != _host.lower():
        raise ImproperlyConfigured(
            f"ALLOWED_HOSTS holds {_host!r};"
            " set it to the host names the service answers to, without ports."
        )
CSRF_TRUSTED_ORIGINS = env.entries("CSRF_TRUSTED_ORIGINS")
for _origin in CSRF_TRUSTED_ORIGINS:
    _scheme, _, _host = _origin.partition("://")
    _host = _host.removeprefix("*.")
    # Django compares the text with a browser's, which ends with the host and port.
    if (
        _scheme not in {"https", "http"}
        or _host != _host.lower()
        or not split_domain_port(_host)[0]
    ):
        raise ImproperlyConfigured(
            f"CSRF_TRUSTED_ORIGINS holds {_origin!r}; set each origin to its scheme and"
            " host, such as https://mirror.example.org."
        )

BIND = env.address("BIND")
#: None: no metrics are served.
METRICS_BIND: str | None = (
    None if env.text("METRICS_BIND") == "off" else env.address("METRICS_BIND")
)
if METRICS_BIND == BIND:
    raise ImproperlyConfigured(
        f"BIND and METRICS_BIND are both {BIND};"
        " set METRICS_BIND to another port, or to off."
    )
WEB_CONCURRENCY = 2 * (os.cpu_count() or 1)
if env.text("WEB_CONCURRENCY"):
    WEB_CONCURRENCY = env.integer("WEB_CONCURRENCY", least=1, most=64)
WEB_THREADS = env.integer("WEB_THREADS", least=1, most=256)
GRACEFUL_TIMEOUT_SECONDS = env.integer("GRACEFUL_TIMEOUT_SECONDS", least=1, most=600)

ROOT_URLCONF = "mirrorsite.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TIME_ZONE = "UTC"
USE_I18N = False
FORMAT_MODULE_PATH = "mirrorsite.formats"
APPEND_SLASH = False

INSTALLED_APPS = [
    "mirrorsite.apps.MirrorsiteConfig",
    "mirrorsite.tokens.apps.TokensConfig",
    "uploads.apps.UploadsConfig",
    "uploads.audit.apps.AuditConfig",
    "uploads.apps.StaffAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "mirrorsite.static_files.ServedFilesConfig",
    "rest_framework",
    "knox",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]
# The token model is the project's; knox's migrations would create an unused table.
MIGRATION_MODULES = {"knox": None}
KNOX_TOKEN_MODEL = "tokens.Token"  # noqa: S105 the name of a model
REST_KNOX = {
    "SECURE_HASH_ALGORITHM": "hashlib.sha512",
    "AUTH_HEADER_PREFIX": "Bearer",
    # Lets secret scanners recognise these tokens.
    "TOKEN_PREFIX": "mst_",
}

# Sessions, CSRF protection and messages run on some paths only (mirrorsite.middleware).
MIDDLEWARE = [
    "mirrorsite.middleware.EdgeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    # Here, so that static files get request ids, security headers and HTTPS redirects.
    "mirrorsite.static_files.StaticFilesMiddleware",
    "mirrorsite.middleware.StaffPages",
]
#: Besides `/`, the paths on which the session is loaded.
STAFF_PATHS = ("/admin/", "/api/uploads")
# These checks look for Django's middleware by name. Here EdgeMiddleware denies framing
# (W002), and StaffPages runs the classes that the others look for.
SILENCED_SYSTEM_CHECKS = [
    "security.W002", "security.W003", "admin.E408", "admin.E409", "admin.E410",
]  # fmt: skip

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

LOGIN_REDIRECT_URL = "admin:index"
AUTHENTICATION_BACKENDS = [
    "uploads.logins.ThrottleBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

# --- Transport -------------------------------------------------------------------

HTTPS_ONLY = env.boolean("HTTPS_ONLY")
TRUSTED_PROXIES = env.integer("TRUSTED_PROXIES", least=0, most=10)
SECURE_SSL_REDIRECT = HTTPS_ONLY
# Probes come from inside the cluster, without TLS.
SECURE_REDIRECT_EXEMPT = [r"^api/(health|ready)$"]
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS_ONLY else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS_ONLY
SECURE_HSTS_PRELOAD = HTTPS_ONLY
SESSION_COOKIE_SECURE = HTTPS_ONLY
CSRF_COOKIE_SECURE = HTTPS_ONLY
CSRF_COOKIE_HTTPONLY = True
CSRF_FAILURE_VIEW = "mirrorsite.home.csrf_failure"
if HTTPS_ONLY:
    # Browsers accept a cookie with this prefix only over HTTPS and for this host alone:
    # https://www.rfc-editor.org/rfc/rfc6265bis
    SESSION_COOKIE_NAME = "__Host-sessionid"
    CSRF_COOKIE_NAME = "__Host-csrftoken"
# A session ends an hour after the last page (uploads.staff_site extends it), or when the
# browser is closed.
SESSION_COOKIE_AGE = 3600
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
if TRUSTED_PROXIES:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# --- Database --------------------------------------------------------------------

DATABASES = {"default": connection_settings(env.required("DATABASE_URL"))}

# --- The bucket ------------------------------------------------------------------

# All names that botocore accepts; the store itself may refuse one.
AWS_STORAGE_BUCKET_NAME = env.matching(
    "AWS_STORAGE_BUCKET_NAME",
    r"[\w.-]{1,255}|arn:[\w:/.-]{1,251}",
    "the name of a bucket: lower-case letters, digits, dots and hyphens",
)
AWS_ACCESS_KEY_ID = env.text("AWS_ACCESS_KEY_ID") or None
AWS_SECRET_ACCESS_KEY = env.text("AWS_SECRET_ACCESS_KEY") or None
if (AWS_ACCESS_KEY_ID is None) != (AWS_SECRET_ACCESS_KEY is None):
    raise ImproperlyConfigured(
        "only one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set;"
        " set both, or neither to use the role of the host."
    )
AWS_ENDPOINT_URL_S3 = env.text("AWS_ENDPOINT_URL_S3") or None
check_aws_configuration(AWS_ENDPOINT_URL_S3)
# What botocore accepts: one label of a host name, with more than digits in it.
AWS_DEFAULT_REGION = env.matching(
    "AWS_DEFAULT_REGION",
    r"(?!-|\d+$)[A-Za-z0-9-]{1,63}(?<!-)",
    "the name of a region, such as us-east-1",
)
UPLOAD_MAX_BYTES = env.integer("UPLOAD_MAX_BYTES", least=1, most=MULTIPART_LIMIT_BYTES)

STORAGES = {
    "default": {
        "BACKEND": "uploads.storage.UploadStorage",
        "OPTIONS": {
            "bucket_name": AWS_STORAGE_BUCKET_NAME,
            "access_key": AWS_ACCESS_KEY_ID,
            "secret_key": AWS_SECRET_ACCESS_KEY,
            "region_name": AWS_DEFAULT_REGION,
            "endpoint_url": AWS_ENDPOINT_URL_S3,
            "connect_timeout": env.seconds(
                "STORE_CONNECT_TIMEOUT_SECONDS", least=0.1, most=60
            ),
            "read_timeout": env.seconds(
                "STORE_READ_TIMEOUT_SECONDS", least=0.1, most=300
            ),
            "max_attempts": env.integer("STORE_MAX_ATTEMPTS", least=1, most=5),
        },
    },
    "staticfiles": {"BACKEND": "mirrorsite.static_files.StaticStorage"},
}
STATIC_URL = "/static/"
STATIC_ROOT = str(BASE_DIR / env.text("STATIC_ROOT"))
WHITENOISE_ALLOW_ALL_ORIGINS = False
WHITENOISE_ADD_HEADERS_FUNCTION = headers.add_static_headers

# --- The audit trail ---------------------------------------------------------------

AUDIT_SIGNING_KEY = env.key_bytes("AUDIT_SIGNING_KEY")
AUDIT_PUBLIC_KEYS = env.public_keys("AUDIT_PUBLIC_KEYS")
AUDIT_RETENTION_DAYS = env.integer("AUDIT_RETENTION_DAYS", least=0, most=36_500)

# --- The API ---------------------------------------------------------------------

UPLOAD_AUTH = env.choice("UPLOAD_AUTH", ("open", "token"))
UPLOAD_RATE_LIMIT = env.rate("UPLOAD_RATE_LIMIT")
CACHE_URL = env.text("CACHE_URL")
if CACHE_URL not in {"", "database"}:
    try:
        # Raises for an option that a connection does not have; does not connect.
        redis.ConnectionPool.from_url(CACHE_URL).make_connection()
    except (ValueError, TypeError, AttributeError, redis.RedisError) as error:
        # The value is left out: it may hold a password.
        raise ImproperlyConfigured(
            "CACHE_URL cannot be read; set it to redis://host:6379/0, or to database."
        ) from error
REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "UNAUTHENTICATED_USER": None,
    "EXCEPTION_HANDLER": "uploads.api.errors.exception_handler",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
}

SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "mirrorsite",
    "VERSION": "1.0.0",
    "DESCRIPTION": (
        "Proves that a platform works end to end, and keeps an upload audit trail that"
        " can itself be proven. Every error is a problem (RFC 9457) whose `type` can be"
        " looked up in this API."
    ),
    "OAS_VERSION": "3.1.1",
    "COMPONENT_SPLIT_REQUEST": True,
    "SORT_OPERATIONS": False,
    "TAGS": [
        {"name": "probes", "description": "Liveness and readiness."},
        {"name": "mirror", "description": "The transformation."},
        {"name": "uploads", "description": "Uploads and their records."},
        {
            "name": "about",
            "description": "The description of this API and of its problems.",
        },
    ],
    "POSTPROCESSING_HOOKS": ["mirrorsite.openapi.describe_every_operation"],
}

# --- manage.py canary --------------------------------------------------------------

CANARY_BASE_URL = env.text("CANARY_BASE_URL")
CANARY_TOKEN = env.text("CANARY_TOKEN")

# --- Logs ------------------------------------------------------------------------

LOG_FORMAT = env.choice("LOG_FORMAT", ("json", "text"))
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {"()": "mirrorsite.logs.JsonFormatter"},
        "text": {"()": "mirrorsite.logs.TextFormatter"},
    },
    "filters": {
        "drop_database_traceback": {"()": "mirrorsite.logs.DropDatabaseTraceback"},
        "replace_traceback": {"()": "mirrorsite.logs.ReplaceTraceback"},
    },
    "handlers": {
        "stderr": {"class": "mirrorsite.logs.LineHandler", "formatter": LOG_FORMAT},
    },
    "root": {
        "handlers": ["stderr"],
        "level": env.choice(
            "LOG_LEVEL", ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
        ),
    },
    "loggers": {
        # The access log has a line for each request already.
        "django.request": {"level": "ERROR", "filters": ["drop_database_traceback"]},
        "uploads.api.errors": {"filters": ["drop_database_traceback"]},
        "uploads.services": {"filters": ["drop_database_traceback"]},
        "django.security": {"level": "CRITICAL"},
        "django.security.csrf": {"level": "WARNING"},
        "django.security.SuspiciousSession": {"level": "WARNING"},
        "botocore": {"level": "WARNING"},
        # Failures to refresh credentials; the service logs its own message after them.
        "botocore.credentials": {"filters": ["replace_traceback"]},
        "botocore.tokens": {"filters": ["replace_traceback"]},
        "boto3": {"level": "WARNING"},
        "urllib3": {"level": "ERROR"},
        # gunicorn and uvicorn-worker stop these from propagating to the handler above.
        "gunicorn.access": {"level": "INFO", "propagate": True},
        "gunicorn.error": {"level": "INFO", "propagate": True},
        "uvicorn.error": {"level": "WARNING", "propagate": True},
    },
}
