"""The same handlers behind FastAPI; `def` handlers run in its thread pool."""

from __future__ import annotations

import original  # type: ignore[import-not-found]
from fastapi import FastAPI  # type: ignore[import-not-found]

app = FastAPI()


@app.get("/api/health")
async def health() -> dict[str, str]:
    return original.health()  # type: ignore[no-any-return]


@app.get("/api/mirror")
async def mirror(word: str) -> dict[str, str]:
    return original.mirror(word)  # type: ignore[no-any-return]


@app.post("/api/upload-random")
def upload_random() -> dict[str, str]:
    return original.upload_random()  # type: ignore[no-any-return]
