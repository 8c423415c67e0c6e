"""The whole application behind the server, with heads that Django's client cannot send."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest

from mirrorsite.asgi import handler
from mirrorsite.server.request import Request
from tests.mirrorsite.connections import scope_of

pytestmark = pytest.mark.django_db


def ask(
    path: str, query: str = "", *, form: bytes | None = None, **fields: str
) -> tuple[int, dict[str, str], dict[str, Any] | str]:
    """Return the status, the header fields and the body, JSON if it is JSON."""
    scope = scope_of(path.encode(), query.encode(), **fields)
    if form is not None:
        scope["method"] = "POST"
    request = Request(scope, io.BytesIO(form or b""))
    request.META["CONTENT_LENGTH"] = str(len(form or b""))
    response = handler.get_response(request)
    body = b"".join(response).decode()
    is_json = "json" in response.headers.get("Content-Type", "")
    found = dict(response.items())
    return response.status_code, found, json.loads(body) if is_json else body


#: Parameters for which Python's or Django's parser raises an exception.
MALFORMED = ["x*=nope''y", "x*0=a; x*=''b"]


@pytest.mark.parametrize(
    "parameters", ["charset=hex", "charset=utf-16", "charset=nope", *MALFORMED]
)
@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("/", "word=%C3%A9", 200),
        ("/api/uploads", "key_prefix=%C3%A9", 401),
        ("/admin/login/", "next=%C3%A9", 200),
        ("/api/problems", "", 200),
    ],
)
def test_media_type_of_no_body__ignored(path, query, status, parameters):
    """Queries are UTF-8 whatever its charset."""
    assert ask(path, query, content_type=f"text/plain; {parameters}")[0] == status


@pytest.mark.parametrize("path", ["/", "/admin/login/"])
@pytest.mark.parametrize("charset", ["UTF8", '"utf-8"'])
def test_form_that_says_it_is_utf_8__read(path, charset):
    kind = f"application/x-www-form-urlencoded; charset={charset}"
    status, _, page = ask(path, form=b"size=3", content_type=kind)
    assert status == 403  # for its CSRF token
    assert isinstance(page, str)
    assert "CSRF" in page or "the form has expired" in page


@pytest.mark.parametrize("charset", ["hex", "utf-16", "latin-1"])
def test_charset_of_a_multipart_form__read_as_utf_8_still(charset):
    """Such as one that a session sends to the API, which looks in it for a CSRF token."""
    kind = f"multipart/form-data; boundary=x; charset={charset}"
    scope = scope_of(b"/", content_type=kind) | {"method": "POST"}
    part = '--x\r\nContent-Disposition: form-data; name="a"\r\n\r\né\r\n--x--\r\n'
    request = Request(scope, io.BytesIO(part.encode()))
    request.META["CONTENT_LENGTH"] = str(len(part.encode()))
    assert request.POST["a"] == "é"


@pytest.mark.parametrize("parameters", MALFORMED)
def test_malformed_parameters_of_accept__the_first_representation(parameters):
    status, fields, _ = ask("/api/schema", accept=f"text/yaml; {parameters}")
    assert (status, fields["Content-Type"]) == (200, "application/json")


@pytest.mark.parametrize("path", ["/", "/admin/login/"])
@pytest.mark.parametrize("parameters", MALFORMED)
@pytest.mark.parametrize("name", ["boundary=x", "x"])
def test_form_with_malformed_parameters__400_or_403(path, name, parameters):
    """400 for an unreadable form; 403, for its CSRF token, if the fault is ignored."""
    part = f"--x\r\nContent-Disposition: form-data; {parameters}\r\n\r\n1\r\n--x--\r\n"
    kind = f"multipart/form-data; {name}"
    assert ask(path, form=part.encode(), content_type=kind)[0] in {400, 403}
    kind = f"multipart/form-data; boundary=x; {parameters}"
    assert ask(path, form=part.encode(), content_type=kind)[0] in {400, 403}


@pytest.mark.parametrize("key", [r'"\000aaaaaaaaaaaaaaa"', r'"\377aaaaaaaaaaaaaa"'])
@pytest.mark.parametrize(
    ("path", "status"), [("/", 200), ("/admin/", 302), ("/api/uploads", 401)]
)
def test_cookie_that_is_no_session_key__no_session(path, status, key):
    assert ask(path, cookie=f"sessionid={key}")[0] == status


def test_two_cookie_fields__all_cookies():
    scope = scope_of(b"/", cookie="a=1; b=2")
    scope["headers"].append((b"cookie", b"c=3"))
    request = Request(scope, io.BytesIO())
    assert request.COOKIES == {"a": "1", "b": "2", "c": "3"}


@pytest.mark.parametrize(
    ("sent", "instance"),
    [
        ("/api/%ff", "/api/%FF"),
        ("/api/%25ff", "/api/%25ff"),
        ("/api/%zz", "/api/%25zz"),
        ("/api/%C3%A9/%0a", "/api/%C3%A9/%0A"),
        ("/api/a;b=c,d", "/api/a;b=c,d"),
        ("/api/<x>", "/api/%3Cx%3E"),
    ],
)
def test_instance__percent_encoded_once(sent, instance):
    status, _, problem = ask(sent)
    assert isinstance(problem, dict)
    assert (status, problem["instance"]) == (404, instance)


class TestRefused:
    """A problem below /api/, elsewhere a plain page that says the same."""

    @pytest.fixture(autouse=True)
    def _nothing_logged(self, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
        yield
        assert not [record for record in caplog.records if record.exc_info]

    @pytest.mark.parametrize(
        ("path", "query", "host", "detail"),
        [
            ("/", "", "elsewhere.example", "does not answer to this host"),
            ("/admin/login/", "", "a<b>", "does not answer to this host"),
            ("/api/uploads", "", "a<b>", "does not answer to this host"),
            ("/static/x.css", "", "a<b>", "does not answer to this host"),
            ("/", "a=1&" * 1001, "localhost", "more than 1000 parameters"),
            ("/api/schema", "a=1&" * 1001, "localhost", "more than 1000 parameters"),
        ],
    )
    def test_400(self, path, query, host, detail):
        status, fields, body = ask(path, query, host=host)
        assert status == 400
        assert fields["Cache-Control"] == "no-store"
        assert fields["X-Request-ID"] == "known"
        if path.startswith("/api/"):
            assert fields["Content-Type"] == "application/problem+json"
            assert isinstance(body, dict)
            assert detail in body["detail"]
        else:
            assert fields["Content-Type"] == "text/html; charset=utf-8"
            assert isinstance(body, str)
            assert "<h1>Bad Request</h1>" in body
            assert detail in body
            assert "a<b>" not in body

    @pytest.mark.parametrize("path", ["/admin/", "/admin/login/"])
    def test_database_unavailable__503(self, path, no_database):
        status, fields, body = ask(path, cookie=f"sessionid={'a' * 32}")
        assert (status, fields["Retry-After"]) == (503, "5")
        assert "The database is unavailable." in body
        assert "db.internal" not in body
