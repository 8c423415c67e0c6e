"""Security header fields of answers."""

from __future__ import annotations

from wsgiref.headers import Headers

_ALWAYS = {
    # No page uses these features of the browser.
    "Permissions-Policy": (
        "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(),"
        " usb=()"
    ),
    # Django's SecurityMiddleware sets the same on the answers that pass through it.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
#: An API answer is data: a browser that opens one must load and run nothing.
API_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    **_ALWAYS,
}
#: Pages: their own scripts and styles, no inline script, no other host.
PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self';"
        " img-src 'self' data:; font-src 'self'; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    **_ALWAYS,
    "X-Frame-Options": "DENY",
}


def add_static_headers(headers: Headers, path: str, url: str) -> None:
    """WhiteNoise's hook: a static file may load nothing, and no other site may load it."""
    headers["Content-Security-Policy"] = API_HEADERS["Content-Security-Policy"]
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
