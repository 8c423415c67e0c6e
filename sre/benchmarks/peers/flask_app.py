"""The original: Flask."""

from __future__ import annotations

from typing import Any

import original  # type: ignore[import-not-found]
from flask import Flask, request  # type: ignore[import-not-found]

app = Flask(__name__)


@app.get("/api/health")
def health() -> Any:
    return original.health()


@app.get("/api/mirror")
def mirror() -> Any:
    return original.mirror(request.args["word"])


@app.post("/api/upload-random")
def upload_random() -> Any:
    return original.upload_random()
