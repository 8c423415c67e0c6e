"""Measure requests to the WSGI application of the tree this process runs in.

A child of sre/lib/request_cost.py, which runs one in each of two trees; so it stands
on nothing but what both have. Reads `<path> <logged: 0|1> <count>` from standard
input, answers the CPU microseconds per request.
"""

from __future__ import annotations

import gc
import io
import os
import sys
import time
from typing import Any


def main() -> None:
    sys.path.insert(0, os.getcwd())
    from mirrorsite.wsgi import application  # sets Django up

    from mirrorsite.access_log import log_access  # isort: skip

    def ask(path: str, query: str, logged: bool) -> None:
        environ: dict[str, Any] = {
            "REQUEST_METHOD": "GET",
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "RAW_URI": path,
            "SERVER_PROTOCOL": "HTTP/1.1",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "4545",
            "SERVER_SOFTWARE": "gunicorn",
            "REMOTE_ADDR": "127.0.0.1",
            "REMOTE_PORT": "50000",
            "HTTP_HOST": "127.0.0.1:4545",
            "HTTP_USER_AGENT": "curl/8.0",
            "HTTP_ACCEPT": "*/*",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
        }
        status: list[str] = []

        def start_response(line: str, headers: Any, exc_info: Any = None, /) -> Any:
            status.append(line)

        response = application(environ, start_response)
        for _ in response:
            pass
        if hasattr(response, "close"):
            response.close()
        if status != ["200 OK"]:
            raise SystemExit(f"{path} answered {status}")
        if logged:
            log_access(
                method="GET",
                raw_path=path.encode(),
                route=environ.get("mirrorsite.route", ""),
                status=200,
                seconds=0.0005,
                size=100,
                request_id=environ.get("mirrorsite.request_id", ""),
                peer=("127.0.0.1", 50_000),
                forwarded_for="",
            )

    for line in sys.stdin:
        target, logged, count = line.split()
        path, _, query = target.partition("?")
        gc.collect()
        started = time.process_time_ns()
        for _ in range(int(count)):
            ask(path, query, logged == "1")
        spent = time.process_time_ns() - started
        print(spent / int(count) / 1000, flush=True)


if __name__ == "__main__":
    main()
