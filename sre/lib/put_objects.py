"""Put many small objects fast: signed by botocore, sent over plain connections."""

from __future__ import annotations

import http.client
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

PROCESSES = 4
Object = tuple[str, bytes]


def put_objects(
    url: str, credentials: tuple[str, str], bucket: str, objects: Sequence[Object]
) -> None:
    """Put (key, content) pairs into a bucket of a plain HTTP server.

    Keys need no escaping.
    """
    shares = [objects[number::PROCESSES] for number in range(PROCESSES)]
    with ProcessPoolExecutor(PROCESSES) as pool:
        list(pool.map(_put, repeat(url), repeat(credentials), repeat(bucket), shares))


def _put(
    url: str, credentials: tuple[str, str], bucket: str, objects: Sequence[Object]
) -> None:
    signer = S3SigV4Auth(Credentials(*credentials), "s3", "us-east-1")
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
    for key, content in objects:
        path = f"/{bucket}/{key}"
        request = AWSRequest("PUT", url + path, data=content)
        signer.add_auth(request)
        connection.request("PUT", path, content, dict(request.headers))
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise RuntimeError(f"PUT {path} answered {answer.status}")
    connection.close()
