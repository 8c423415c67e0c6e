"""Every type of problem the API answers with, declared once. No Django here.

`GET /api/problems` serves this table. A type is `/api/problems/<slug>`: a path, as
RFC 9457 section 3.1.1 allows, so that it means the same on every host that runs the
service, and can be looked up there. An app adds its own with `declare`.
"""

from __future__ import annotations

from dataclasses import dataclass

TYPE_PREFIX = "/api/problems/"


@dataclass(frozen=True, slots=True)
class ProblemType:
    """One kind of error: its status, what it means, what a client can do."""

    slug: str
    status: int
    title: str
    meaning: str
    remedy: str

    @property
    def uri(self) -> str:
        return TYPE_PREFIX + self.slug


GENERAL: tuple[ProblemType, ...] = (
    # --- Any request -----------------------------------------------------------
    ProblemType(
        "bad-request",
        400,
        "Unacceptable request",
        "Something about the request as a whole is not acceptable.",
        "Compare the request with the schema at /api/schema.",
    ),
    ProblemType(
        "malformed-http",
        400,
        "Not HTTP",
        "The request line, a header or the transfer coding breaks HTTP's rules,"
        " so the request was not read to its end.",
        "Send well-formed HTTP/1.1 (RFC 9112).",
    ),
    ProblemType(
        "host-not-allowed",
        400,
        "Unknown host",
        "The Host header names a host that this service does not answer to.",
        "Use a configured host name; operators list them in ALLOWED_HOSTS.",
    ),
    ProblemType(
        "csrf-failed",
        403,
        "CSRF check failed",
        "A request with a session cookie came without a valid CSRF token, or from"
        " an origin that is not trusted.",
        "Send the token in X-CSRFToken, or use a bearer token instead of a session.",
    ),
    ProblemType(
        "not-authenticated",
        401,
        "Credentials missing",
        "This needs credentials and none were sent.",
        "Send Authorization: Bearer <token>, or log in as staff.",
    ),
    ProblemType(
        "authentication-failed",
        401,
        "Credentials not accepted",
        "The credentials are malformed, unknown, expired or revoked.",
        "Use a valid token; staff make them in the admin.",
    ),
    ProblemType(
        "permission-denied",
        403,
        "Not allowed",
        "The credentials are valid and do not allow this.",
        "Use a token with the needed scope.",
    ),
    ProblemType(
        "not-found",
        404,
        "Nothing here",
        "There is nothing at this path, or nothing that you may see.",
        "Check the path; /api/schema lists every one.",
    ),
    ProblemType(
        "method-not-allowed",
        405,
        "Method not allowed",
        "The path exists and does not take this method.",
        "Use a method that the Allow header names.",
    ),
    ProblemType(
        "request-timeout",
        408,
        "Request not sent in time",
        "The rest of the request did not come within the time the service waits.",
        "Send the whole request at once.",
    ),
    ProblemType(
        "body-too-large",
        413,
        "Body too large",
        "The body is larger than the service reads.",
        "Send the few members the schema names; an upload's bytes are made here.",
    ),
    ProblemType(
        "request-line-too-long",
        414,
        "Request line too long",
        "Path and query together are longer than the service reads.",
        "Shorten the query.",
    ),
    ProblemType(
        "unsupported-media-type",
        415,
        "Body is not JSON",
        "The body's Content-Type is not application/json.",
        "Send JSON with Content-Type: application/json, or no body.",
    ),
    ProblemType(
        "expectation-failed",
        417,
        "Unknown expectation",
        "The Expect header asks for something other than 100-continue.",
        "Leave the Expect header out.",
    ),
    ProblemType(
        "throttled",
        429,
        "Too many requests",
        "This client has made more requests than it may for now.",
        "Wait as many seconds as Retry-After says.",
    ),
    ProblemType(
        "headers-too-large",
        431,
        "Headers too large",
        "There are more headers, or longer ones, than the service reads.",
        "Send fewer and shorter headers; cookies are often the reason.",
    ),
    ProblemType(
        "internal-error",
        500,
        "The service failed",
        "A fault of the service; its log tells more under the request id.",
        "Report the request id. A GET may be tried again.",
    ),
    ProblemType(
        "transfer-coding-not-implemented",
        501,
        "Unknown transfer coding",
        "The body comes in a Transfer-Encoding other than chunked.",
        "Send the body with a Content-Length, or chunked.",
    ),
    ProblemType(
        "database-unavailable",
        503,
        "Database away",
        "The database did not answer, so the request could not be carried out.",
        "Try again as late as Retry-After says.",
    ),
    ProblemType(
        "server-busy",
        503,
        "Too many requests at once",
        "As many requests are being worked on, and wait, as may. This one was not"
        " begun.",
        "Try again as late as Retry-After says.",
    ),
    # --- Bodies and parameters -------------------------------------------------
    ProblemType(
        "parse-error",
        400,
        "Body is not valid JSON",
        "The body could not be read as JSON.",
        "Send valid JSON in UTF-8.",
    ),
    ProblemType(
        "invalid-parameter",
        400,
        "Invalid parameter",
        "A parameter or member is not valid; errors names it.",
        "Correct what errors names.",
    ),
    ProblemType(
        "unknown-parameter",
        400,
        "Unknown parameter",
        "The query has a parameter that is not known here.",
        "Leave it out; detail names the known ones.",
    ),
    ProblemType(
        "repeated-parameter",
        400,
        "Repeated parameter",
        "The query has a parameter more than once.",
        "Give it once.",
    ),
    ProblemType(
        "body-not-object",
        400,
        "Body is not a JSON object",
        "The body is JSON, and not an object.",
        'Send an object such as {"size": 10}, or no body.',
    ),
    ProblemType(
        "unknown-field",
        400,
        "Unknown member in the body",
        "The body has a member that is not known here.",
        "Leave it out.",
    ),
    ProblemType(
        "invalid-size",
        400,
        "Invalid size",
        "size is not a whole number in the allowed range.",
        "Send a whole number of bytes from 1 to the limit that detail names.",
    ),
    ProblemType(
        "word-missing",
        400,
        "No word",
        "The query has no word.",
        "Add ?word=…; an empty word is allowed.",
    ),
    ProblemType(
        "word-repeated",
        400,
        "More than one word",
        "The query has word more than once.",
        "Give it once.",
    ),
    ProblemType(
        "word-not-utf8",
        400,
        "Word is not UTF-8",
        "The word's bytes are not valid UTF-8.",
        "Percent-encode the word's UTF-8.",
    ),
    ProblemType(
        "word-too-long",
        400,
        "Word too long",
        "The word has more characters than are mirrored.",
        "Send at most as many characters as detail names.",
    ),
    ProblemType(
        "not-ready",
        503,
        "Not ready",
        "Something that an upload needs is away; checks says what.",
        "Wait; a probe asks again.",
    ),
)

PROBLEM_TYPES: dict[str, ProblemType] = {kind.slug: kind for kind in GENERAL}


def declare(*kinds: ProblemType) -> None:
    """Add an app's problem types."""
    PROBLEM_TYPES.update((kind.slug, kind) for kind in kinds)


#: What a bare status means when nothing better is known of the error.
SLUG_OF_STATUS: dict[int, str] = {
    400: "bad-request",
    401: "not-authenticated",
    403: "permission-denied",
    404: "not-found",
    405: "method-not-allowed",
    413: "body-too-large",
    415: "unsupported-media-type",
    429: "throttled",
    500: "internal-error",
    503: "database-unavailable",
}
