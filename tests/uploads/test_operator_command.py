"""What all operators' commands do alike, and that each has a test."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command, find_commands
from django.core.management.base import BaseCommand, CommandError, SystemCheckError
from django.db import OperationalError

from sre.lib.object_store import ObjectStore
from tests.conftest import service_database_url
from tests.uploads.audit.trails import KEY
from uploads.exceptions import StoreUnavailableError, TrailUnavailableError
from uploads.management.command import DifferencesFound, OperatorCommand, printable
from uploads.storage import UploadStorage

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


class RefusingStream(io.StringIO):
    """A stream that takes nothing."""

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self.error = error

    def write(self, text: str) -> int:
        raise self.error

    def flush(self) -> None:
        raise self.error


def write_to(stream: str, refusing: RefusingStream, method: str) -> None:
    """Run a command that writes to such a stream, or flushes it."""
    command = Probe()
    command.act = lambda: (
        getattr(command, stream).write("x")
        if method == "write"
        else getattr(command, stream).flush()
    )
    call_command(command, **{stream: refusing})


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
            (
                OSError(errno.ENOSPC, "No space left on device"),
                2,
                "the system refused what was needed: No space left on device; 3 done.",
            ),
            (
                PermissionError(errno.EACCES, "Permission denied", "/var/x"),
                2,
                "the system refused what was needed: Permission denied: /var/x;"
                " 3 done.",
            ),
            (
                TimeoutError("timed out"),
                2,
                "the system refused what was needed: timed out; 3 done.",
            ),
            (
                # Of a connection; nobody's output has ended.
                BrokenPipeError(errno.EPIPE, "Broken pipe"),
                2,
                "the system refused what was needed: Broken pipe; 3 done.",
            ),
        ],
    )
    def test_exit_status(
        self, error: BaseException | None, status: int, words: str
    ) -> None:
        assert status_of(error) == (status, words)

    @pytest.mark.parametrize("stream", ["stdout", "stderr"])
    @pytest.mark.parametrize("method", ["write", "flush"])
    def test_output_cannot_be_written(self, stream: str, method: str) -> None:
        refusing = RefusingStream(OSError(errno.ENOSPC, "No space left on device"))
        with pytest.raises(CommandError) as caught:
            write_to(stream, refusing, method)
        assert (caught.value.returncode, str(caught.value)) == (
            2,
            "the output cannot be written: No space left on device; 3 done.",
        )

    def test_reader_has_enough__left_to_the_outermost(self) -> None:
        with pytest.raises(BrokenPipeError):
            write_to("stdout", RefusingStream(BrokenPipeError()), "write")

    def test_wrong_setting__could_not_run(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A system check that fails is no difference that was found."""

        def wrong(*args: Any, **kwargs: Any) -> None:
            raise SystemCheckError("STORAGES['default'] cannot be built")

        monkeypatch.setattr(BaseCommand, "check", wrong)
        with pytest.raises(SystemCheckError) as caught:
            Probe().check()
        assert caught.value.returncode == 2

    def test_process__bucket_away(self) -> None:
        """The sentence and the status that a shell or a CronJob sees; no traceback."""
        environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "DATABASE_URL": service_database_url("postgres"),
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


class TestDatabaseAway:
    COMMANDS = (
        ("reconcile_uploads",),
        ("verify_uploads",),
        ("purge_uploads", "--older-than", "30d"),
        ("export_uploads",),
        ("export_events",),
        ("seal_audit",),
        ("verify_audit",),
        ("rotate_audit_key",),
    )

    @pytest.mark.parametrize("kind", ["away", "empty"])
    def test_every_command__one_sentence_and_status_2(
        self,
        bucket: UploadStorage,
        object_store: ObjectStore,
        kind: str,
    ) -> None:
        """A server that does not answer, and a database that nobody migrated."""
        away = "postgresql://u:hush@127.0.0.1:1/x"
        empty = service_database_url("postgres")
        environment = {
            **os.environ,
            **object_store.environment(bucket.bucket_name),
            "DJANGO_SETTINGS_MODULE": "mirrorsite.settings",
            "DATABASE_URL": away if kind == "away" else empty,
            "AUDIT_SIGNING_KEY": KEY.secret_text(),
        }
        started = [
            subprocess.Popen(
                [sys.executable, "manage.py", *command],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for command in self.COMMANDS
        ]
        for command, process in zip(self.COMMANDS, started, strict=True):
            _, told = process.communicate(timeout=120)
            assert process.returncode == 2, (command, told)
            assert "Traceback" not in told, command
            assert "database" in told.splitlines()[-1], command
            assert "hush" not in told
        assert list(bucket.list_keys("")) == []


class TestCoverage:
    def test_every_command_has_a_test(self) -> None:
        """A command is tested when some test runs it by its name."""
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
        run = {
            name
            for text in texts
            for name in re.findall(r'\b(?:run|call_command)\(\s*"(\w+)"', text)
        }
        assert ours - run == set(UNTESTED)


def test_json_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    Probe().print_json({"key": "ä", "when": Path("x")})
    assert json.loads(capsys.readouterr().out) == {"key": "ä", "when": "x"}


class TestEndings:
    """What a shell sees of manage.py, whatever a command does."""

    def end(self, act: str, output: int = subprocess.PIPE) -> tuple[int, str]:
        """Run manage.py with a command that does `act`; return status and errors."""
        code = (
            "import sys, manage\n"
            f"def command(argv):\n    {act}\n"
            "manage.execute_from_command_line = command\n"
            "manage.main()\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            # Buffered, as it is into a pipe, so that the end has to look after it too.
            env={n: v for n, v in os.environ.items() if n != "PYTHONUNBUFFERED"},
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        return done.returncode, done.stderr

    @pytest.mark.parametrize(
        "act",
        [
            "print('short')",
            "print('long' * 100_000)",
            "print('differences'); sys.exit(1)",
        ],
    )
    def test_reader_has_enough__no_traceback(self, act: str) -> None:
        """As `./manage.py … | head` ends it."""
        reader, writer = os.pipe()
        os.close(reader)
        try:
            assert self.end(act, writer) == (141, "")
        finally:
            os.close(writer)

    @pytest.mark.parametrize("act", ["print('short')", "print('x'); sys.exit(1)"])
    def test_disk_full(self, act: str) -> None:
        with Path("/dev/full").open("w") as full:
            status, told = self.end(act, full.fileno())
        assert status == 2
        assert told == "the output cannot be written: No space left on device\n"

    def test_bug__not_taken_for_a_difference(self) -> None:
        status, told = self.end("raise LookupError('no such thing')")
        assert status == 2
        assert told.startswith("Traceback")
        assert told.endswith("LookupError: no such thing\n")

    @pytest.mark.parametrize(
        ("act", "status"),
        [("pass", 0), ("sys.exit(1)", 1), ("raise KeyboardInterrupt", 130)],
    )
    def test_status(self, act: str, status: int) -> None:
        assert self.end(act) == (status, "")

    @pytest.mark.parametrize(
        "arguments",
        [
            ("reconcile_uploads", "--min-age", "soon"),
            ("verify_uploads", "--jobs", "0"),
            ("purge_uploads",),
            ("purge_uploads", "--older-than", "0d", "--yes"),
            ("export_uploads", "--format", "xml"),
            ("canary", "--timeout", "-1"),
        ],
    )
    def test_bad_arguments(self, arguments: tuple[str, ...]) -> None:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        assert f"manage.py {arguments[0]}: error: " in done.stderr


class TestPrintable:
    def test_foreign_text__stays_on_its_line(self) -> None:
        assert printable("a/b\n\x1b[31mc\u202e.txt") == r"a/b\n\x1b[31mc\u202e.txt"
        assert printable("uploads/ü/日本.txt") == "uploads/ü/日本.txt"
