"""What all operators' commands do alike, and that each has a test."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command, find_commands, load_command_class
from django.core.management.base import BaseCommand, CommandError, SystemCheckError
from django.db import OperationalError

from mirrorsite.exit_status import ExitStatus
from mirrorsite.management.base import CommandFailed, DifferencesFound, OperatorCommand
from mirrorsite.standard_streams import OutputError
from mirrorsite.tokens.models import Scope
from mirrorsite.tokens.services import create_token
from tests.conftest import service_database_url
from tests.outputs import REFUSING, FullOutput, run_into
from tests.support import ROOT, manage, run_program
from tests.uploads import making
from tests.uploads.audit.trails import KEY
from tests.uploads.making import ACTOR
from uploads.exceptions import (
    AuditKeyError,
    SealError,
    StoreUnavailableError,
    TrailUnavailableError,
    TransitionError,
)

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
            (SealError("forged"), 1, "forged; 3 done."),
            (
                StoreUnavailableError("the store failed", outcome_unknown=False),
                2,
                "the store failed; 3 done.",
            ),
            (TrailUnavailableError("no commit"), 2, "no commit; 3 done."),
            (TransitionError("changed"), 2, "changed; 3 done."),
            (
                OperationalError("connection refused\nIs the server running?"),
                2,
                "the database cannot be used: connection refused; 3 done.",
            ),
            *(
                (error, 2, f"the system reports: {words}; 3 done.")
                for error, words in (
                    (OSError(errno.ENOSPC, "No space left"), "No space left"),
                    (
                        PermissionError(errno.EACCES, "Denied", "/var/x"),
                        "Denied: /var/x",
                    ),
                    (TimeoutError("timed out"), "timed out"),
                    # Of a connection; nobody's output has ended.
                    (BrokenPipeError(errno.EPIPE, "Broken pipe"), "Broken pipe"),
                )
            ),
            (OutputError("the output is full"), 74, "the output is full; 3 done."),
            (
                ImproperlyConfigured("AWS_PROFILE is 'x';\x1b[2J set it"),
                78,
                "mirrorsite is misconfigured: AWS_PROFILE is 'x';\\x1b[2J set it; 3 done.",
            ),
            (AuditKeyError("set this"), 78, "set this; 3 done."),
            (KeyboardInterrupt(), 130, "interrupted; 3 done."),
        ],
    )
    def test_exit_status(self, error, status, words):
        assert status_of(error) == (status, words)

    def test_wrong_setting__misconfigured(self, make_fail):
        """A system check that fails is no difference that was found."""
        make_fail(
            BaseCommand,
            "check",
            SystemCheckError("STORAGES['default'] cannot be built"),
        )
        with pytest.raises(SystemCheckError) as caught:
            Probe().check()
        assert caught.value.returncode == 78

    def test_process__no_such_database(self):
        """The sentence says why, so that an operator can correct the setting."""
        url = service_database_url("none_has_this_name")
        done = manage("export_uploads", environment=os.environ | {"DATABASE_URL": url})
        assert done.returncode == 2
        assert 'database "none_has_this_name" does not exist' in done.stderr
        assert "Traceback" not in done.stderr


class TestPrinted:
    HOSTILE = "x\n999 seals: all as signed\x1b[2J\u202e\udc80"
    HARMLESS = r"x\n999 seals: all as signed\x1b[2J\u202e\udc80"

    def printed(self, act: Callable[[Probe], None]) -> tuple[str, str]:
        command = Probe()
        command.act = lambda: act(command)
        out, err = StringIO(), StringIO()
        with suppress(CommandError):
            call_command(command, stdout=out, stderr=err, no_color=True)
        return out.getvalue(), err.getvalue()

    def test_foreign_text__one_line_and_harmless(self):
        def act(command: Probe) -> None:
            command.print(self.HOSTILE)
            command.print_json({"key": self.HOSTILE})
            command.warn(self.HOSTILE)

        out, err = self.printed(act)
        assert err == f"{self.HARMLESS}\n"
        assert out.startswith(f'{self.HARMLESS}\n{{"key": "x\\n999')
        assert out.count("\n") == 2
        assert out.replace("\n", "").isprintable()

    @pytest.mark.parametrize(
        "error",
        [CommandFailed(HOSTILE), DifferencesFound(HOSTILE), TransitionError(HOSTILE)],
    )
    def test_errors__one_line_and_harmless(self, error):
        assert status_of(error)[1].startswith(self.HARMLESS)

    def test_every_command_of_ours_is_an_operator_command(self):
        """Django's own do not print what others named."""
        for app in apps.get_app_configs():
            if Path(app.path).parent != ROOT and not app.name.startswith("mirrorsite"):
                continue
            for name in find_commands(f"{app.path}/management"):
                command = load_command_class(app.name, name)
                if ".management.commands." in type(command).__mro__[1].__module__:
                    continue  # one of Django's own, with an addition of ours
                assert isinstance(command, OperatorCommand), name
                assert type(command).handle is OperatorCommand.handle, name


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
        ("restore_events",),
    )

    @pytest.mark.parametrize("kind", ["away", "empty"])
    def test_every_command__one_sentence_and_status_2(
        self, bucket, service_environment, kind
    ):
        """A server that does not answer, and a database that nobody migrated."""
        urls = {
            "away": "postgresql://u:hush@127.0.0.1:1/x",
            "empty": service_database_url("postgres"),
        }
        environment = {
            **os.environ,
            **service_environment,
            "DATABASE_URL": urls[kind],
            "AUDIT_SIGNING_KEY": KEY.secret_text(),
        }
        # One after the other in one process: each alone would take a second to start.
        program = (
            "import sys\n"
            "from mirrorsite.command_line import run\n"
            f"for command in {self.COMMANDS}:\n"
            "    try:\n"
            "        run(['manage.py', *command])\n"
            "    except SystemExit as end:\n"
            "        print('status', end.code, file=sys.stderr)\n"
        )
        done = run_program([sys.executable, "-c", program], env=environment)
        *told, rest = done.stderr.split("status 2\n")
        assert (len(told), rest) == (len(self.COMMANDS), ""), done.stderr
        for command, text in zip(self.COMMANDS, told, strict=True):
            assert "Traceback" not in text, command
            assert "database" in text.splitlines()[-1], command
            assert "hush" not in text
        assert list(bucket.list_keys("")) == []


class TestCoverage:
    def test_every_command_has_a_test(self):
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


def test_json_is_one_object_a_line(capsys):
    Probe().print_json({"key": "ä", "when": Path("x")})
    assert json.loads(capsys.readouterr().out) == {"key": "ä", "when": "x"}


def test_documented():
    text = (ROOT / "docs/commands.md").read_text()
    rows = re.findall(r"^\| ([0-9]+) \| (.*?) \|", text, re.M)
    assert rows == [(str(status.value), status.meaning) for status in ExitStatus]


class TestEndings:
    """What a shell sees of manage.py, whatever a command does."""

    @pytest.mark.parametrize("arguments", [["nonsense"], ["help", "nonsense"]])
    def test_unknown_command__2(self, arguments):
        done = manage(*arguments)
        assert done.returncode == 2
        assert "Unknown command: 'nonsense'" in done.stderr

    def test_refused_argument__printed_harmlessly(self):
        done = manage("seal_audit", "\x1b[2J\nall as signed")
        assert done.returncode == 2
        assert "\\x1b[2J\\nall as signed" in done.stderr
        assert "\x1b" not in done.stderr

    def command(self, act: str) -> list[str]:
        code = f"""
import sys, manage
from mirrorsite import command_line
def command(argv):
    {act}
command_line.execute_from_command_line = command
manage.main()
"""
        return [sys.executable, "-c", code]

    def end(
        self, act: str, output: str | None = None, stream: str = "stdout"
    ) -> tuple[int, str]:
        """Run manage.py with a command that does `act`; return status and errors.

        `output` is a kind of output that takes nothing, for `stream`.
        """
        options: dict[str, Any] = {
            "cwd": ROOT,
            # Buffered, as it is into a pipe, so that the end has to look after it too.
            "env": {n: v for n, v in os.environ.items() if n != "PYTHONUNBUFFERED"},
        }
        command = self.command(act)
        if output is not None:
            done = run_into(output, command, stream=stream, **options)
        else:
            done = run_program(command, **options)
        return done.returncode, done.stderr or ""

    @pytest.mark.parametrize(
        "act",
        [
            "print('short')",
            "print('long' * 100_000)",
            "print('differences'); sys.exit(1)",
        ],
    )
    @pytest.mark.parametrize(
        ("output", "reason"),
        [
            ("full", "No space left on device"),
            ("broken pipe", "Broken pipe"),
            ("closed", "it is closed"),
        ],
    )
    def test_output_cannot_be_written(self, act, output, reason):
        told = f"the output cannot be written: {reason}\n"
        assert self.end(act, output) == (74, told)

    @pytest.mark.parametrize("output", REFUSING)
    def test_errors_cannot_be_written(self, output):
        """Nobody can be told; the status still says that it is not a difference."""
        ended = self.end("sys.stderr.write('x' * 10_000)", output, "stderr")
        assert ended[0] == (0 if output == "closed" else 74)

    @pytest.mark.parametrize("output", REFUSING)
    def test_nothing_printed__no_error(self, output):
        assert self.end("sys.exit(1)", output) == (1, "")

    def test_characters_that_do_not_fit__escaped(self):
        done = subprocess.run(
            self.command(r"print('ä', '\udc80', '日')"),
            cwd=ROOT,
            env=os.environ | {"PYTHONIOENCODING": "ascii"},
            capture_output=True,
            check=False,
        )
        assert (done.returncode, done.stdout) == (0, rb"\xe4 \udc80 \u65e5" + b"\n")

    @pytest.mark.parametrize(
        ("error", "status"),
        [
            ("DifferencesFound('of two')", 1),
            ("CommandFailed('of two')", 2),
            ("CommandError('of two')", 2),
        ],
    )
    @pytest.mark.parametrize("traceback", [[], ["--traceback"]])
    def test_error_of_a_command(self, error, status, traceback):
        code = (
            "import manage\n"
            "from django.core import management\n"
            "from mirrorsite.management.base import *\n"
            "class Failing(OperatorCommand):\n"
            "    requires_system_checks = []\n"
            f"    def run(self, **options): raise {error}\n"
            "management.get_commands()['fail'] = 'tests'\n"
            "management.load_command_class = lambda *_: Failing()\n"
            "manage.main()\n"
        )
        done = run_program([sys.executable, "-c", code, "fail", *traceback])
        assert done.returncode == status
        assert "of two" in done.stderr
        assert ("Traceback" in done.stderr) is bool(traceback)

    def test_options_that_exclude_each_other(self):
        assert manage("seal_audit", "--no-color", "--force-color").returncode == 2

    def test_bug__not_taken_for_a_difference(self):
        status, told = self.end("raise LookupError('no such thing')")
        assert status == 2
        assert told.startswith("Traceback")
        assert told.endswith("LookupError: no such thing\n")

    @pytest.mark.parametrize(("act", "status"), [("pass", 0), ("sys.exit(1)", 1)])
    def test_status(self, act, status):
        assert self.end(act) == (status, "")

    def test_interrupted(self):
        assert self.end("raise KeyboardInterrupt") == (130, "interrupted\n")

    def test_terminated__as_interrupted(self):
        """Also as a container's first process, which ignores it unless it is handled."""
        act = "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"
        assert self.end(act) == (130, "interrupted\n")

    def test_interrupted_while_importing__no_traceback(self):
        code = (
            "import os, signal, sys, manage\n"
            "class Finder:\n"
            "    def find_spec(self, name, *_):\n"
            "        if name == 'mirrorsite.command_line':\n"
            "            os.kill(os.getpid(), signal.SIGINT)\n"
            "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "sys.meta_path.insert(0, Finder())\n"
            "manage.main()\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False
        )
        assert (done.returncode, done.stderr) == (-signal.SIGINT, b"")

    def test_input_ends(self):
        assert self.end("input()")[0] == 2

    def test_argument_that_is_no_text(self):
        done = subprocess.run(
            [sys.executable, "manage.py", "revoke_token", b"\xff\n"],
            cwd=ROOT,
            capture_output=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (
            2,
            b"the argument '\\udcff\\n' is not UTF-8\n",
        )

    @pytest.mark.parametrize(
        "arguments",
        [
            ["migrate"],
            ["clearsessions"],
            ["changepassword", "admin"],
            ["createsuperuser", "--noinput", "--username=a", "--email=a@b.c"],
        ],
    )
    def test_commands_of_django__database_down(self, arguments):
        done = run_program(
            [sys.executable, "manage.py", *arguments],
            env=os.environ
            | {
                "DJANGO_SETTINGS_MODULE": "tests.settings",
                "DATABASE_URL": "postgresql://postgres:a-password@127.0.0.1:1/none",
            },
        )
        assert done.returncode == 2
        assert done.stderr.startswith("the database cannot be used: connection failed")
        assert done.stderr.count("\n") == 1
        assert "a-password" not in done.stderr

    @pytest.mark.django_db
    @pytest.mark.parametrize(
        "arguments",
        [("changepassword", "nobody"), ("createsuperuser", "--noinput")],
    )
    def test_commands_of_django__errors_are_no_differences(self, arguments):
        with pytest.raises(CommandError) as caught:
            call_command(*arguments)
        assert caught.value.returncode == 2

    @pytest.mark.django_db
    def test_output_fails_afterwards__says_what_was_done(
        self, bucket, other_bucket, settings, monkeypatch
    ):
        settings.AUDIT_PUBLIC_KEYS = {KEY.id: KEY.public_key}
        owner = get_user_model().objects.create_user("owner")
        create_token(
            owner=owner, name="a-token", scopes=[Scope.READ], days=1, actor=ACTOR
        )
        making.overwrite(bucket, making.stored().key, b"other")
        making.put(making.pending())
        monkeypatch.setattr(sys, "stdout", FullOutput())
        for sentence, *command in (
            ("token a-token is revoked", "revoke_token", "a-token"),
            ("the check is in the audit trail", "verify_audit"),
            ("1 corrupted", "verify_uploads"),
            ("1 repaired", "reconcile_uploads", "--fix", "--min-age=0s"),
        ):
            with pytest.raises(CommandError, match=f"No space left.*{sentence}"):
                call_command(*command)
        name = other_bucket(exists=False).bucket_name
        with pytest.raises(CommandError, match=f"{name}: created"):
            call_command("ensure_bucket")


@pytest.mark.parametrize(
    ("command", "values", "words"),
    [
        ("backup_database --keep", ["0", "1001"], "is not a number from 1 to 1000"),
        (
            "canary --base-url",
            [
                "http://", "http://:4545", "http://127.0.0.1:99999",
                "http://127.0.0.1:0", "http://127.0.0.1:x",
                "http://127.0.0.1:4545/api", "http://127.0.0.1:4545?word=x",
                "file:///etc/passwd",
            ],
            "is not a URL without a path",
        ),
        ("export_uploads --format", ["xml"], "invalid choice: 'xml'"),
        ("export_uploads --output", [""], "is not a regular file"),
        (
            "purge_uploads --older-than",
            ["0s", "0d", "-1d", "1000000d", "30", ""],  # above all what takes everything
            "argument --older-than",
        ),
        ("purge_uploads --jobs", ["0", "17", "-1", "many"], "argument --jobs"),
        ("reconcile_uploads --min-age", ["soon"], "argument --min-age"),
        (
            "seal_audit --every",
            ["0", "-1", "x", "nan", "1e9"],
            "not a number of seconds",
        ),
        ("verify_audit --since", ["x", "-1", "2026-99-99"], "not a seal number, and"),
        ("verify_audit --since", ["1" + "0" * 20], "too large for a seal number"),
        ("verify_audit --since", ["9999-12-31T23:59-02:00"], "beyond the years"),
        ("verify_uploads --jobs", ["0"], "argument --jobs"),
    ],
)  # fmt: skip
def test_bad_arguments(command, values, words):
    name, option = command.split()
    for value in values:
        with pytest.raises(CommandError, match=words):
            call_command(name, f"{option}={value}")


def test_purge__needs_an_age():
    with pytest.raises(CommandError, match="--older-than"):
        call_command("purge_uploads")
