"""The view that serves the static files that collectstatic put into STATIC_ROOT."""

from __future__ import annotations

import calendar
import hashlib
from functools import cache
from http import HTTPStatus
from pathlib import Path
from wsgiref.util import FileWrapper

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response
from django.views.decorators.http import require_safe
from whitenoise import WhiteNoise
from whitenoise.responders import StaticFile

from mirrorsite.headers import API_HEADERS
from mirrorsite.negotiation import accepts_coding


@require_safe
def static_file(request: HttpRequest, name: str) -> HttpResponseBase:
    """Serve a collected file, compressed for clients that accept gzip.

    A view, so that request ids, security headers and the redirect to HTTPS come from
    Django's middleware. `Range` is ignored, as RFC 9110, section 14.2, allows.
    """
    file = _collected_files(settings.STATIC_ROOT).get(f"/{name}")
    if file is None:
        raise Http404
    response: HttpResponseBase | None = get_conditional_response(
        request, file.etag, calendar.timegm(file.last_modified)
    )
    if response is not None:
        if response.status_code == HTTPStatus.NOT_MODIFIED:
            for header, value in file.not_modified_response.headers:
                response.headers[header] = value
        return response
    codings = request.headers.get("Accept-Encoding", "")
    found = file.get_response(
        request.method,
        {"HTTP_ACCEPT_ENCODING": "gzip" if accepts_coding(codings, "gzip") else ""},
    )
    headers = dict(found.headers)
    if found.file is None:  # HEAD
        return HttpResponse(headers=headers)
    return StreamingHttpResponse(FileWrapper(found.file, 64 * 1024), headers=headers)


@cache
def _collected_files(root: str) -> dict[str, StaticFile]:
    """Return the files below `root` by their path, which begins with a slash."""
    whitenoise = WhiteNoise(
        None,
        root=root,
        allow_all_origins=False,
        add_headers_function=_add_headers,
        # The manifest storage puts a hash of the content into every name.
        immutable_file_test=r"\.[0-9a-f]{12}\.",
    )
    files: dict[str, StaticFile] = whitenoise.files
    return files


def _add_headers(headers: dict[str, str], path: str, url: str) -> None:
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    # Weak: the file and its compressed form share it (RFC 9110, section 8.8.3.3).
    headers["ETag"] = f'W/"{digest[:32]}"'
    headers["Content-Security-Policy"] = API_HEADERS["Content-Security-Policy"]
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
