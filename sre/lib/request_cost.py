"""What a request costs in CPU, in this tree and at an earlier commit, side by side.

Both trees run in the same environment and take turns in short batches, so that a
busy machine disturbs both alike. Run by ./sre/request-cost.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from sre.lib.postgres import temporary_postgres

ROOT = Path(__file__).resolve().parent.parent.parent
CHILD = ROOT / "sre" / "lib" / "request_cost_child.py"
#: Row name, path, and whether the access log's line is part of it.
ROWS = (
    ("health", "/api/health", False),
    ("mirror", "/api/mirror?word=fOoBar25", False),
    ("health + log line", "/api/health", True),
    ("mirror + log line", "/api/mirror?word=fOoBar25", True),
)
#: DESIGN's limit on what the API's comforts may cost.
LIMIT_PERCENT = 15


class Side:
    """One tree's process."""

    def __init__(self, tree: Path, scratch: Path, name: str, database_url: str) -> None:
        metrics = scratch / f"metrics-{name}"
        metrics.mkdir()
        self.process = subprocess.Popen(
            [sys.executable, CHILD],
            cwd=tree,
            env={
                "PATH": os.environ["PATH"],
                "SECRET_KEY": "x" * 60,
                "HTTPS_ONLY": "false",
                "AWS_STORAGE_BUCKET_NAME": "none",
                "AWS_ACCESS_KEY_ID": "none",
                "AWS_SECRET_ACCESS_KEY": "none",
                "DATABASE_URL": database_url,
                "STATIC_ROOT": str(scratch / "static"),
                "LOG_FORMAT": "json",
                # As gunicorn's configuration sets it: the dearer, shared kind.
                "PROMETHEUS_MULTIPROC_DIR": str(metrics),
                "PYTHONWARNINGS": "ignore",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(scratch / f"{name}.log").open("wb"),
            text=True,
        )

    def ask(self, path: str, *, logged: bool, count: int) -> float:
        """Return the CPU microseconds per request over `count` requests."""
        assert self.process.stdin is not None  # noqa: S101 pipes were asked for
        assert self.process.stdout is not None  # noqa: S101
        self.process.stdin.write(f"{path} {int(logged)} {count}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"a side ended with {self.process.wait()}")
        return float(answer)


def main() -> int:
    options = _options()
    with (
        tempfile.TemporaryDirectory(prefix="mirrorsite-cost-") as directory,
        temporary_postgres(fsync=False) as url,
    ):
        scratch = Path(directory)
        (scratch / "static").mkdir()
        before_tree = scratch / "before"
        _export(options.before, before_tree)
        before = Side(before_tree, scratch, "before", url)
        after = Side(ROOT, scratch, "after", url)
        try:
            return _compare(before, after, options)
        finally:
            for side in (before, after):
                side.process.kill()
                side.process.wait()


def _compare(before: Side, after: Side, options: argparse.Namespace) -> int:
    for side in (before, after):
        for _, path, logged in ROWS:
            side.ask(path, logged=logged, count=1000)
    print(f"CPU microseconds per request, before = {options.before}")
    print(
        f"{options.rounds} rounds of {options.count} requests a side; noise is the"
        " median distance from the median\n"
    )
    print("| request | before | after | change | noise |")
    print("| --- | --- | --- | --- | --- |")
    worst = 0.0
    for name, path, logged in ROWS:
        pairs = []
        for number in range(options.rounds):
            order = (before, after) if number % 2 else (after, before)
            taken = {
                side: side.ask(path, logged=logged, count=options.count)
                for side in order
            }
            pairs.append((taken[before], taken[after]))
        old = statistics.median(pair[0] for pair in pairs)
        new = statistics.median(pair[1] for pair in pairs)
        ratios = [100 * (b / a - 1) for a, b in pairs]
        change = statistics.median(ratios)
        noise = statistics.median(abs(ratio - change) for ratio in ratios)
        worst = max(worst, change)
        print(
            f"| {name} | {old:.1f} | {new:.1f} | {change:+.1f} % | ±{noise:.1f} % |",
            flush=True,
        )
    verdict = "within" if worst <= LIMIT_PERCENT else "ABOVE"
    print(f"\nlargest change {worst:+.1f} %, {verdict} {LIMIT_PERCENT} %")
    return 0 if worst <= LIMIT_PERCENT else 1


def _export(commit: str, target: Path) -> None:
    archive = subprocess.run(
        ["git", "archive", commit], cwd=ROOT, stdout=subprocess.PIPE, check=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(target, filter="data")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="sre/request-cost", description=__doc__)
    parser.add_argument("--before", required=True, metavar="COMMIT")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--count", type=int, default=1000, help="requests a round")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
