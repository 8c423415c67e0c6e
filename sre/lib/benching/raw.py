"""The limit of uploading: the same PUTs sent straight into the store, signed before."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path

from sre.lib.benching.load import Measurement, measure
from sre.lib.benching.servers import World, WrongAnswerError
from sre.lib.raw_puts import signed_headers


def measure_raw(
    world: World, *, clients: int, seconds: float, most: int
) -> Measurement:
    """Put objects of four bytes under new keys for so long, at most `most` of them."""
    bucket = world.new_bucket()
    puts = world.directory / "puts"
    date = _sign(world, bucket, puts, most)
    seen = measure(
        world.store.url,
        clients=clients,
        seconds=seconds,
        process=None,
        environment={"PUTS": str(puts), "DATE": date},
    )
    stored, answered = world.count(), round(seen.rate * seconds)
    if seen.errors or stored < answered * 0.95:
        raise WrongAnswerError(f"{stored} objects after {answered} raw PUTs")
    return seen


def _sign(world: World, bucket: str, puts: Path, most: int) -> str:
    """Write a line for each PUT, key and signature; return the time they are signed for."""
    now = datetime.now(UTC)
    host = world.store.url.removeprefix("http://")
    with puts.open("w") as lines:
        for _ in range(most):
            path = f"/{bucket}/uploads/{secrets.token_hex(16)}.txt"
            headers = signed_headers(
                "PUT", host, path, world.store.access_key, world.store.secret_key, now
            )
            lines.write(f"{path}\t{headers['Authorization']}\n")
    return headers["x-amz-date"]
