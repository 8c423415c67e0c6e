"""The admin's pages at 1,000 and at 1,000,000 uploads; see ./sre/admin-bench."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import psycopg

from sre.lib.postgres import temporary_postgres

ROOT = Path(__file__).resolve().parent.parent.parent
SMALL = 1_000
MOST_MILLISECONDS = 300
MOST_TIMES = 2


class Side:
    """A child process with one of the databases, which answers one page at a time."""

    def __init__(self, url: str, name: str, rows: int, days: float) -> None:
        self.rows = rows
        self.directory = tempfile.TemporaryDirectory(prefix="mirrorsite-bench-")
        environment = {
            **os.environ,
            "DATABASE_URL": url.replace("/postgres?", f"/{name}?"),
            "DJANGO_SETTINGS_MODULE": "mirrorsite.settings",
            "SECRET_KEY": secrets.token_urlsafe(50),
            "STATIC_ROOT": self.directory.name,
            "HTTPS_ONLY": "false",
            "ALLOWED_HOSTS": "testserver",
            "AWS_STORAGE_BUCKET_NAME": "none",
            "AWS_ACCESS_KEY_ID": "none",
            "AWS_SECRET_ACCESS_KEY": "none",
            "LOG_LEVEL": "ERROR",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sre.lib.admin_bench_child", str(rows), str(days)],
            env=environment,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, page: str = "", *, explain: bool = False) -> Any:
        """Return what the child says of a page; the names of the pages for none."""
        assert self.process.stdin is not None  # noqa: S101 pipes were asked for
        assert self.process.stdout is not None  # noqa: S101
        self.process.stdin.write(json.dumps([page, explain]) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def stop(self) -> None:
        assert self.process.stdin is not None  # noqa: S101
        with suppress(BrokenPipeError):  # it ended by itself, and said why
            self.process.stdin.close()
        self.process.wait()
        self.directory.cleanup()


def measure(small: Side, big: Side, rounds: int) -> int:
    """Ask both sides in turn and print the table; return the exit status."""
    names = small.ask()
    big.ask()
    first, _ = big.ask(names[0])  # imports, templates, connections
    small.ask(names[0])
    times: dict[str, tuple[list[float], list[float]]] = {n: ([], []) for n in names}
    firsts: dict[str, float] = {}
    shown: dict[str, tuple[int, int]] = {}
    for turn in range(rounds + 1):
        for name in names:
            (a, a_rows), (b, b_rows) = small.ask(name), big.ask(name)
            shown[name] = (a_rows, b_rows)
            if turn == 0:
                firsts[name] = b
            else:
                times[name][0].append(a)
                times[name][1].append(b)
    medians = {n: tuple(map(statistics.median, times[n])) for n in names}
    full_list = medians[names[0]][0]
    print(f"First request of all: {first:.0f} ms. Medians of {rounds}, in ms:\n")
    print(
        f"| page | rows shown | {small.rows:,} | {big.rows:,} | times | first look |"
        f" slowest plan node at {big.rows:,} |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | --- |")
    failed = False
    for name in names:
        a, b = medians[name]
        a_rows, b_rows = shown[name]
        # A page that is nearly empty there and full here is held against a full one.
        base = max(a, full_list) if a_rows < b_rows else a
        bad = b > MOST_MILLISECONDS or b > MOST_TIMES * base
        failed |= bad
        mark = " **over**" if bad else ""
        star = "*" if base != a else ""
        print(
            f"| {name} | {a_rows} / {b_rows} | {a:.0f} | {b:.0f} |"
            f" {b / base:.2f}{star}{mark} | {firsts[name]:.0f} |"
            f" {big.ask(name, explain=True)} |",
            flush=True,
        )
    print("\n\\* against the full list at 1,000, which shows as many rows.")
    return int(failed)


def main() -> int:
    parser = argparse.ArgumentParser(prog="sre/admin-bench")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--days", type=float, default=7)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--server")
    options = parser.parse_args()
    with nullcontext(options.server) if options.server else temporary_postgres() as url:
        _create_databases(url)
        small = Side(url, "small", SMALL, options.days)
        big = Side(url, "big", options.rows, options.days)
        try:
            return measure(small, big, options.rounds)
        finally:
            small.stop()
            big.stop()


def _create_databases(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for name in ("small", "big"):
            with suppress(psycopg.errors.DuplicateDatabase):
                connection.execute(f"CREATE DATABASE {name}")


if __name__ == "__main__":
    sys.exit(main())
