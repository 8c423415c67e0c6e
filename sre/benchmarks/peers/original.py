"""The handlers of the original design, without a record of uploads.

An upload creates a boto3 client and a temporary file, named after a number from 0 to
9999, and calls `upload_file`. The mirror goes letter by letter. The store's address
comes from the environment.
"""

from __future__ import annotations

import os
import random
import tempfile
from pathlib import Path

import boto3

BUCKET = os.environ["AWS_STORAGE_BUCKET_NAME"]


def health() -> dict[str, str]:
    return {"status": "ok"}


def mirror(word: str) -> dict[str, str]:
    mirrored = ""
    for letter in word:
        if letter.islower():
            mirrored += letter.upper()
        elif letter.isupper():
            mirrored += letter.lower()
        elif letter.isdigit():
            mirrored += str(9 - int(letter))
        else:
            mirrored += letter
    return {"transformed": mirrored[::-1]}


def upload_random() -> dict[str, str]:
    number = random.randint(0, 9999)  # noqa: S311 as the original does
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / f"{number}.txt"
        path.write_text(str(number))
        client = boto3.client("s3")
        client.upload_file(str(path), BUCKET, path.name)
    return {"uploaded": "ok"}
