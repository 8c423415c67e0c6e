"""Samples of a profiler, by the layer of the code that was running. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

#: A frame's file decides; the first that fits, the innermost frame first.
LAYERS: tuple[tuple[str, str], ...] = (
    (
        r"(^|/)uploads/(storage/|bulkhead)|botocore|urllib3|s3transfer",
        "object store",
    ),
    (
        r"(^|/)uploads/sql|psycopg|django/db/",
        "database",
    ),
    (r"(^|/)mirrorsite/logs|logging/|gunicorn_conf", "access log"),
    (r"(^|/)uploads/|(^|/)transforms/", "our services and views"),
    (r"(^|/)mirrorsite/(metrics|rate_)|prometheus_client", "metrics and limits"),
    (
        r"(^|/)mirrorsite/(worker|http_protocol|application|wsgi_bridge|thread_pool)|gunicorn/|uvicorn/|uvloop/",
        "web server",
    ),
    (r"rest_framework/", "REST framework"),
    (r"(^|/)mirrorsite/|django/|asgiref/|whitenoise/", "Django and middleware"),
)
OTHER = "Python itself"
_FRAME = re.compile(r"^(?P<function>.*) \((?P<file>[^()]*?)(:\d+)?\)$")
#: A thread without work waits here.
_IDLE = ("_work (mirrorsite/thread_pool.py", "run (asyncio/runners.py")
#: And a library's own thread here, unless it is at work on a request.
_WAITING = "wait (threading.py"
_AT_WORK = "_WorkItem.run (concurrent/futures/thread.py"

Sample = tuple[tuple[str, ...], int]


def read(lines: Iterable[str]) -> list[Sample]:
    """Return the samples of py-spy's raw format: frames, outermost first, and a count."""
    samples = []
    for line in lines:
        stack, _, count = line.rstrip().rpartition(" ")
        if stack:
            samples.append((tuple(stack.split(";")), int(count)))
    return samples


def is_busy(stack: Sequence[str]) -> bool:
    """Tell whether the thread worked, and did not wait for work."""
    if _WAITING in stack[-1] and not any(_AT_WORK in frame for frame in stack):
        return False
    return not any(idle in stack[-1] for idle in _IDLE)


def layer_of(stack: Sequence[str]) -> str:
    """Return the layer of the innermost frame that belongs to one."""
    for frame in reversed(stack):
        match = _FRAME.match(frame)
        file = match["file"] if match else frame
        for pattern, layer in LAYERS:
            if re.search(pattern, file):
                return layer
    return OTHER


def shares(samples: Iterable[Sample]) -> list[tuple[str, float]]:
    """Return each layer's share of the busy samples, largest first."""
    counts: Counter[str] = Counter()
    for stack, count in samples:
        if is_busy(stack):
            counts[layer_of(stack)] += count
    total = counts.total() or 1
    return [(layer, count / total) for layer, count in counts.most_common()]


def costliest(samples: Iterable[Sample], most: int) -> list[tuple[str, float]]:
    """Return the functions with the largest share of the busy samples of their own."""
    counts: Counter[str] = Counter()
    for stack, count in samples:
        if is_busy(stack):
            match = _FRAME.match(stack[-1])
            name = f"{match['function']} ({match['file']})" if match else stack[-1]
            counts[name] += count
    total = counts.total() or 1
    return [(name, count / total) for name, count in counts.most_common(most)]


def svg(title: str, found: Sequence[tuple[str, float]]) -> str:
    """Draw the shares as bars, readable on light and on dark pages."""
    height = 44 + 26 * len(found)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 {height}"'
        f' font-family="sans-serif" font-size="13" role="img" aria-label="{title}">',
        f'<rect width="640" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="22" font-weight="bold" fill="#1f2933">{title}</text>',
    ]
    for number, (layer, share) in enumerate(found):
        y = 36 + 26 * number
        width = max(1, round(360 * share / found[0][1]))
        parts += [
            f'<text x="188" y="{y + 15}" text-anchor="end" fill="#1f2933">{layer}</text>',
            f'<rect x="196" y="{y}" width="{width}" height="20" fill="#2f6db3"/>',
            f'<text x="{204 + width}" y="{y + 15}" fill="#1f2933">'
            f"{share * 100:.0f} %</text>",
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"
