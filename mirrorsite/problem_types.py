"""All problem types of the API. No Django here.

`GET /api/problems` serves this table. A type is `/api/problems/<slug>`: a path, as
RFC 9457 section 3.1.1 allows, so that it means the same on every host that runs the
service, and can be looked up there. An app declares its own types when it is imported.
"""

from __future__ import annotations

from dataclasses import dataclass

TYPE_PREFIX = "/api/problems/"


@dataclass(frozen=True, slots=True)
class ProblemType:
    """A kind of error: its status, what it means, and what a client can do."""

    slug: str
    status: int
    title: str
    meaning: str
    remedy: str

    @property
    def uri(self) -> str:
        return TYPE_PREFIX + self.slug


#: By slug.
PROBLEM_TYPES: dict[str, ProblemType] = {}


def declare(table: dict[int, dict[str, tuple[str, str, str]]]) -> None:
    """Declare the types of a table: status → slug → (title, meaning, remedy)."""
    for status, types in table.items():
        for slug, texts in types.items():
            PROBLEM_TYPES[slug] = ProblemType(slug, status, *texts)


declare(
    {
        400: {
            "bad-request": (
                "Unacceptable request",
                "The request as a whole is not acceptable.",
                "Compare the request with the schema at /api/schema.",
            ),
            "malformed-http": (
                "Malformed HTTP",
                "The request line, a header or the transfer coding violates HTTP,"
                " so the request was not read to its end.",
                "Send well-formed HTTP/1.1 (RFC 9112).",
            ),
            "host-not-allowed": (
                "Unknown host",
                "The Host header names a host that this service does not answer to.",
                "Use a configured host name; operators list them in ALLOWED_HOSTS.",
            ),
            "parse-error": (
                "Body is not valid JSON",
                "The body could not be read as JSON.",
                "Send valid JSON in UTF-8.",
            ),
            "invalid-parameter": (
                "Invalid parameter",
                "A parameter or member is not valid; see errors.",
                "Correct the field in errors.",
            ),
            "unknown-parameter": (
                "Unknown parameter",
                "The query has a parameter that is not known.",
                "Remove it; detail lists the known ones.",
            ),
            "repeated-parameter": (
                "Repeated parameter",
                "The query has a parameter more than once.",
                "Give it once.",
            ),
            "body-not-object": (
                "Body is not a JSON object",
                "The body is JSON, but not an object.",
                'Send an object such as {"size": 10}, or no body.',
            ),
            "unknown-field": (
                "Unknown member in the body",
                "The body has a member that is not known.",
                "Remove it.",
            ),
            "invalid-size": (
                "Invalid size",
                "size is not a whole number in the allowed range.",
                "Send a whole number of bytes from 1 to the limit in detail.",
            ),
            "word-missing": (
                "No word",
                "The query has no word.",
                "Add ?word=…; an empty word is allowed.",
            ),
            "word-repeated": (
                "More than one word",
                "The query has word more than once.",
                "Give it once.",
            ),
            "word-not-utf8": (
                "Word is not UTF-8",
                "The word's bytes are not valid UTF-8.",
                "Percent-encode the word's UTF-8.",
            ),
            "word-too-long": (
                "Word too long",
                "The word has more characters than are allowed.",
                "Send no more characters than the limit in detail.",
            ),
        },
        401: {
            "not-authenticated": (
                "Credentials missing",
                "The resource needs credentials and none were sent.",
                "Send Authorization: Bearer <token>, or log in as staff.",
            ),
            "authentication-failed": (
                "Credentials not accepted",
                "The credentials are malformed, unknown, expired or revoked.",
                "Use a valid token; staff create them in the admin.",
            ),
        },
        403: {
            "permission-denied": (
                "Not allowed",
                "The credentials are valid and do not allow this.",
                "Use a token with the needed scope.",
            ),
            "csrf-failed": (
                "CSRF check failed",
                "A request with a session cookie came without a valid CSRF token,"
                " or from an origin that is not trusted.",
                "Send the token in X-CSRFToken, or use a bearer token instead of"
                " a session.",
            ),
        },
        404: {
            "not-found": (
                "Not found",
                "There is nothing at this path, or nothing that you may see.",
                "Check the path; /api/schema lists every one.",
            ),
        },
        405: {
            "method-not-allowed": (
                "Method not allowed",
                "The resource does not support this method.",
                "Use a method that the Allow header names.",
            ),
        },
        408: {
            "request-timeout": (
                "Request not sent in time",
                "The request was not complete within the service's timeout.",
                "Send the whole request at once.",
            ),
        },
        413: {
            "body-too-large": (
                "Body too large",
                "The body is larger than the service accepts.",
                "Send only the members in the schema; the service generates an"
                " upload's bytes.",
            ),
        },
        414: {
            "request-line-too-long": (
                "Request line too long",
                "Path and query together are longer than the service accepts.",
                "Shorten the query.",
            ),
        },
        415: {
            "unsupported-media-type": (
                "Body is not JSON",
                "The body's Content-Type is not application/json.",
                "Send JSON with Content-Type: application/json, or no body.",
            ),
        },
        417: {
            "expectation-failed": (
                "Unknown expectation",
                "The Expect header asks for something other than 100-continue.",
                "Leave the Expect header out.",
            ),
        },
        429: {
            "throttled": (
                "Too many requests",
                "The client exceeded its rate limit.",
                "Wait for the number of seconds in Retry-After.",
            ),
        },
        431: {
            "headers-too-large": (
                "Headers too large",
                "There are more headers, or longer ones, than the service accepts.",
                "Send fewer and shorter headers; cookies are often the reason.",
            ),
        },
        500: {
            "internal-error": (
                "Internal error",
                "An error in the service; its log has the details under the"
                " request id.",
                "Report the request id. A GET may be retried.",
            ),
        },
        501: {
            "transfer-coding-not-implemented": (
                "Unknown transfer coding",
                "The body has a Transfer-Encoding other than chunked.",
                "Send the body with a Content-Length, or chunked.",
            ),
        },
        503: {
            "database-unavailable": (
                "Database unavailable",
                "The database did not answer, so the request failed.",
                "Retry after the number of seconds in Retry-After.",
            ),
            "server-busy": (
                "Too many requests at once",
                "The service's queue of requests is full. This one was not started.",
                "Retry after the number of seconds in Retry-After.",
            ),
            "not-ready": (
                "Not ready",
                "Something that an upload needs is unavailable; see checks.",
                "Wait and try again.",
            ),
        },
    }
)
#: The type for a bare status: the first one declared above with it.
SLUG_OF_STATUS = {kind.status: slug for slug, kind in reversed(PROBLEM_TYPES.items())}
