"""What all operators' commands do alike, and that each has a test."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command, find_commands
from django.core.management.base import CommandError
from django.db import OperationalError

from uploads.exceptions import StoreUnavailableError, TrailUnavailableError
from uploads.management.command import (
    DifferencesFound,
    OperatorCommand,
    printable,
)
from uploads.management.progress import Progress

ROOT = Path(__file__).resolve().parent.parent.parent

#: Commands without a test of their own, with the reason.
UNTESTED: dict[str, str] = {}


class Probe(OperatorCommand):
    """Runs what a test hands it."""

    act: Callable[[], None]

    def run(self, *args: Any, **options: Any) -> None:
        self.so_far = "3 done"
        self.act()


def status_of(error: BaseException | None) -> tuple[int, str]:
    def act() -> None:
        if error:
            raise error

    command = Probe()
    command.act = act
    try:
        call_command(command)
    except CommandError as raised:
        return raised.returncode, str(raised)
    return 0, ""


class TestOperatorCommand:
    @pytest.mark.parametrize(
        ("error", "status", "words"),
        [
            (None, 0, ""),
            (DifferencesFound("1 difference found."), 1, "1 difference found."),
            (
                StoreUnavailableError("cannot be reached", outcome_unknown=False),
                2,
                "the bucket is of no use now: cannot be reached; 3 done.",
            ),
            (
                TrailUnavailableError("no commit"),
                2,
                "the database is of no use now: no commit; 3 done.",
            ),
            (
                OperationalError("connection refused\nIs the server running?"),
                2,
                "the database is of no use now: connection refused; 3 done.",
            ),
            (KeyboardInterrupt(), 130, "interrupted; 3 done."),
        ],
    )
    def test_exit_status(
        self, error: BaseException | None, status: int, words: str
    ) -> None:
        assert status_of(error) == (status, words)

    def test_process__bucket_away(self, tmp_path: Path) -> None:
        """The sentence and the status that a shell or a CronJob sees; no traceback."""
        environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "DATABASE_URL": f"sqlite:///{tmp_path}/empty.sqlite3",
        }
        done = subprocess.run(
            [sys.executable, "manage.py", "reconcile_uploads"],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        assert "is of no use now" in done.stderr


class TestProgress:
    def test_pipe__nothing(self) -> None:
        stream = io.StringIO()
        progress = Progress(command_stream(stream), what="keys", total=3)
        assert list(progress.over([1, 2, 3])) == [1, 2, 3]
        assert (progress.count, stream.getvalue()) == (3, "")

    def test_terminal__a_line_that_goes_away(self) -> None:
        ours, theirs = pty.openpty()
        with os.fdopen(theirs, "w") as stream:
            progress = Progress(command_stream(stream), what="keys", total=2)
            for _ in progress.over([1, 2]):
                pass
            shown = ""
            while shown.count("\033[K") < 2:
                shown += os.read(ours, 1000).decode()
        os.close(ours)
        assert "[############            ]  50% 1 keys" in shown
        assert shown.endswith("\r\033[K")


def command_stream(stream: Any) -> Any:
    return Probe(stderr=stream).stderr


class TestCoverage:
    def test_every_command_has_a_test(self) -> None:
        """A command is tested when some test names it in quotes."""
        ours = {
            name
            for app in apps.get_app_configs()
            if Path(app.path).parent == ROOT
            for name in find_commands(f"{app.path}/management")
        }
        assert {"ensure_admin", "reconcile_uploads", "canary"} <= ours
        texts = [
            path.read_text()
            for path in (ROOT / "tests").rglob("test_*.py")
            if path != Path(__file__)
        ]
        untested = {
            name for name in ours if not any(f'"{name}"' in text for text in texts)
        }
        assert untested == set(UNTESTED)


def test_json_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    Probe().print_json({"key": "ä", "when": Path("x")})
    assert json.loads(capsys.readouterr().out) == {"key": "ä", "when": "x"}


class TestEndings:
    def test_reader_has_enough__no_traceback(self) -> None:
        """As `./manage.py … | head` ends it."""
        reader, writer = os.pipe()
        os.close(reader)
        with os.fdopen(writer, "w") as closed:
            done = subprocess.run(
                [sys.executable, "manage.py", "help", "--commands"],
                cwd=ROOT,
                stdout=closed,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        assert (done.returncode, done.stderr) == (141, "")


class TestPrintable:
    def test_foreign_text__stays_on_its_line(self) -> None:
        assert printable("a/b\n\x1b[31mc\u202e.txt") == r"a/b\n\x1b[31mc\u202e.txt"
        assert printable("uploads/ü/日本.txt") == "uploads/ü/日本.txt"
