"""Security header fields of answers."""

from __future__ import annotations

#: No page here uses any of the features that a browser guards.
_PERMISSIONS_POLICY = (
    "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"
)
#: An API answer is data: a browser that opens one must load and run nothing.
API_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Permissions-Policy": _PERMISSIONS_POLICY,
}
#: Pages: their own scripts and styles, no inline script, no other host.
PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self';"
        " img-src 'self' data:; font-src 'self'; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Permissions-Policy": _PERMISSIONS_POLICY,
    "X-Frame-Options": "DENY",
}
#: What Django's SecurityMiddleware adds to every answer that it sees.
SECURITY_HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
