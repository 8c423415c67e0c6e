"""`python -m sre.lib.benching.profile`: sample a worker while wrk loads it."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import psutil

from sre.lib.benching import layers
from sre.lib.benching.load import REPORT
from sre.lib.benching.servers import HEALTH, MIRROR, PEERS_PYTHON, UPLOAD, World
from sre.lib.object_store import ObjectStore
from sre.lib.ports import free_port
from sre.lib.postgres import temporary_postgres

ROUTES = {"health": HEALTH, "mirror": MIRROR, "upload-random": UPLOAD}
WARM_UP_SECONDS = 2


def main() -> int:
    arguments = _arguments()
    with ExitStack() as stack:
        directory = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="mirrorsite-profile-")
            )
        )
        store = ObjectStore(
            directory / "store", free_port(), "bench", secrets.token_hex(16)
        )
        store.start()
        stack.callback(store.kill)
        world = World(
            store=store,
            directory=directory,
            postgresql=stack.enter_context(temporary_postgres()),
            workers=2,
            threads=16,
        )
        running = stack.enter_context(world.mirrorsite("profile"))
        samples = _sample(running.url, running.pid, arguments, directory)
    found = layers.shares(samples)
    if not found:
        print("profile: the worker was never seen at work", file=sys.stderr)
        return 2
    costliest = layers.costliest(samples, 15)
    title = f"{arguments.route}: share of a worker's busy time"
    if arguments.as_json:
        print(json.dumps({"layers": dict(found), "functions": dict(costliest)}))
    else:
        print(title)
        for name, share in found:
            print(f"{share * 100:6.1f} %  {name}")
        print("\nfunctions")
        for name, share in costliest:
            print(f"{share * 100:6.1f} %  {name}")
    if arguments.svg:
        arguments.svg.write_text(layers.svg(title, found))
    return 0


def _sample(
    url: str, pid: int, arguments: argparse.Namespace, directory: Path
) -> list[layers.Sample]:
    worker = next(
        child
        for child in psutil.Process(pid).children()
        if "metrics_server" not in " ".join(child.cmdline())
    )
    raw = directory / "samples"
    seconds = arguments.seconds
    with subprocess.Popen(
        [
            "wrk", "--threads=2", f"--connections={arguments.clients}",
            f"--duration={WARM_UP_SECONDS + seconds + 2}s", f"--script={REPORT}",
            url + ROUTES[arguments.route],
        ],
        env=os.environ
        | {"METHOD": "POST" if arguments.route == "upload-random" else "GET"},
        stdout=subprocess.DEVNULL,
    ) as load:  # fmt: skip
        try:
            load.wait(WARM_UP_SECONDS)
        except subprocess.TimeoutExpired:
            subprocess.run(
                [
                    PEERS_PYTHON.with_name("py-spy"), "record", f"--duration={seconds}",
                    "--rate=250", "--format=raw", f"--output={raw}", f"--pid={worker.pid}",
                ],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=True,
            )  # fmt: skip
        load.terminate()
    return layers.read(raw.read_text().splitlines())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="sre/profile")
    parser.add_argument("--route", choices=sorted(ROUTES), default="upload-random")
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--clients", type=int, default=16, choices=range(1, 65))
    parser.add_argument("--svg", type=Path)
    parser.add_argument("--json", action="store_true", dest="as_json")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
