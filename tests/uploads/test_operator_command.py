"""What all operators' commands do alike."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.management import call_command, find_commands, load_command_class
from django.core.management.base import CommandError
from django.db import OperationalError

from mirrorsite.errors import EXIT_STATUSES, ExitStatus
from mirrorsite.management.base import CommandFailed, DifferencesFound, OperatorCommand
from mirrorsite.standard_streams import OutputError
from mirrorsite.tokens.models import Scope
from mirrorsite.tokens.services import create_token
from tests.conftest import service_database_url
from tests.outputs import FullOutput, run_into
from tests.support import ROOT, run_program
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


class Probe(OperatorCommand):
    """Runs what a test hands it."""

    def __init__(self, act: Callable[[OperatorCommand], None]) -> None:
        super().__init__()
        self._act = act

    def run(self, *args: Any, **options: Any) -> None:
        self.so_far = "3 done"
        self._act(self)


def status_of(error: BaseException | None) -> tuple[int, str]:
    def act(command: OperatorCommand) -> None:
        if error:
            raise error

    try:
        call_command(Probe(act))
    except CommandError as raised:
        return raised.returncode, str(raised)
    return 0, ""


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
        (
            OperationalError("connection refused\nIs the server running?"),
            2,
            "the database cannot be used: connection refused; 3 done.",
        ),
        (
            PermissionError(errno.EACCES, "Denied", "/var/x"),
            2,
            "the system reports: Denied: /var/x; 3 done.",
        ),
        (TimeoutError("timed out"), 2, "the system reports: timed out; 3 done."),
        (OutputError("the output is full"), 74, "the output is full; 3 done."),
        (
            ImproperlyConfigured("AWS_PROFILE is 'x';\x1b[2J set it"),
            78,
            "mirrorsite is misconfigured: AWS_PROFILE is 'x';\\x1b[2J set it; 3 done.",
        ),
        (AuditKeyError("set this"), 78, "set this; 3 done."),
        (
            ValidationError(["Too long.", "Not ASCII."]),
            2,
            "Too long. Not ASCII; 3 done.",
        ),
        (KeyboardInterrupt(), 130, "interrupted; 3 done."),
    ],
)
def test_exit_status(error, status, words):
    assert status_of(error) == (status, words)


class TestPrinted:
    HOSTILE = "x\n999 seals: all as signed\x1b[2J\u202e\udc80"
    HARMLESS = r"x\n999 seals: all as signed\x1b[2J\u202e\udc80"

    def test_foreign_text__one_line_and_harmless(self):
        def act(command: OperatorCommand) -> None:
            command.print(self.HOSTILE)
            command.print_json({"key": self.HOSTILE, "when": Path("ä")})
            command.note(self.HOSTILE)

        out, err = StringIO(), StringIO()
        call_command(Probe(act), stdout=out, stderr=err, no_color=True)
        assert err.getvalue() == f"{self.HARMLESS}\n"
        line, as_json = out.getvalue().splitlines()
        assert line == self.HARMLESS
        assert as_json.isprintable()
        assert json.loads(as_json) == {"key": self.HOSTILE, "when": "ä"}

    @pytest.mark.parametrize(
        "error",
        [CommandFailed(HOSTILE), DifferencesFound(HOSTILE), TransitionError(HOSTILE)],
    )
    def test_errors__one_line_and_harmless(self, error):
        assert status_of(error)[1].startswith(self.HARMLESS)


class TestEveryCommand:
    def test_is_an_operator_command(self):
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


def test_documented():
    text = (ROOT / "docs/commands.md").read_text()
    rows = re.findall(r"^\| ([0-9]+) \| (.*?) \|", text, re.M)
    assert [int(number) for number, _ in rows] == list(ExitStatus)
    listed = ", ".join(f"{number} {meaning}" for number, meaning in rows)
    assert f"Exit status: {listed}." == EXIT_STATUSES


#: Runs manage.py's commands one after the other: each process takes a second to start.
#: `ours` and `django` are commands that run the text after their names.
PROGRAM = """
import json, os, signal, sys
import django
from django.core import management
from django.core.management.base import BaseCommand, CommandError, SystemCheckError
from mirrorsite.command_line import run
from mirrorsite.management.base import CommandFailed, DifferencesFound, OperatorCommand

class Django(BaseCommand):
    requires_system_checks = []
    def add_arguments(self, parser):
        parser.add_argument("text")
    def handle(self, *, text, **options):
        exec(text)

class Ours(OperatorCommand):
    requires_system_checks = []
    add_arguments = Django.add_arguments
    def run(self, *, text, **options):
        exec(text)

django.setup()
management.get_commands().update(ours=Ours, django=Django)
load = management.load_command_class
management.load_command_class = lambda app, name: (
    app() if isinstance(app, type) else load(app, name)
)
for arguments in json.loads(sys.argv[1]):
    try:
        run(["manage.py", *arguments])
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    sys.stderr.write(f"<{code}>")
"""


#: Runs a text as if it were a command, without Django, whose start takes most of the time.
ALONE = """
import sys
from mirrorsite import command_line
command_line.execute_from_command_line = lambda argv: exec(argv[1])
command_line.run(sys.argv)
"""


def endings(*commands: tuple[str, ...], **environment: str) -> list[tuple[int, str]]:
    """Return the status of each command, and what it printed to standard error."""
    done = run_program(
        [sys.executable, "-c", PROGRAM, json.dumps(commands)],
        stdin=subprocess.DEVNULL,
        env=os.environ | environment,
    )
    ended = re.findall(r"(.*?)<(\d+)>", done.stderr, re.DOTALL)
    assert len(ended) == len(commands), done.stderr
    return [(int(code), text) for text, code in ended]


class TestEndings:
    """What a shell sees of manage.py, whatever a command does."""

    ENDINGS: tuple[tuple[tuple[str, ...], int, str], ...] = (
        (("django", "pass"), 0, ""),
        (("django", "sys.exit(1)"), 1, ""),
        (("django", "raise CommandError('of two')"), 2, "CommandError: of two"),
        (("django", "raise LookupError('a bug')"), 2, "LookupError: a bug"),
        (("django", "raise KeyboardInterrupt"), 130, "interrupted"),
        # As a container's first process, which ignores it unless it is handled.
        (("django", "os.kill(os.getpid(), signal.SIGTERM)"), 130, "interrupted"),
        (
            ("django", "input('name? ')"),
            2,
            "standard input ended before every question was answered",
        ),
        (("django", "raise SystemCheckError('STORAGES')"), 78, "STORAGES"),
        (("ours", "raise DifferencesFound('2')"), 1, "2"),
        (("ours", "raise CommandFailed('2')"), 2, "2"),
        (("ours", "raise CommandError('2')"), 2, "CommandError: 2"),
        (("nonsense",), 2, "Type 'manage.py help' for usage."),
        (("help", "nonsense"), 2, "Type 'manage.py help' for usage."),
        (
            ("ours", "--no-color", "--force-color", "pass"),
            2,
            "CommandError: The --no-color and --force-color options can't be used together.",
        ),
        (("ours", "\udcff\n"), 2, r"'\udcff\n' is not UTF-8"),
        # A refused argument is printed harmlessly.
        (
            ("seal_audit", "\x1b[2J\nall as signed"),
            2,
            r"manage.py seal_audit: error: unrecognized arguments: \x1b[2J\nall as signed",
        ),
    )  # fmt: skip

    def test_status_and_errors(self):
        ended = endings(*(command for command, _, _ in self.ENDINGS))
        for (command, status, last), (code, text) in zip(
            self.ENDINGS, ended, strict=True
        ):
            assert (code, text.splitlines()[-1:]) == (status, [last] if last else [])
            assert ("Traceback" in text) is ("LookupError" in command[-1]), text
        failing = {
            command: code
            for command, code, _ in self.ENDINGS
            if "raise" in command[-1] and code != 130
        }
        ended = endings(*((name, "--traceback", text) for name, text in failing))
        assert [code for code, _ in ended] == list(failing.values())
        assert all("Traceback" in text for _, text in ended)

    def alone(self, text: str) -> list[str]:
        return [sys.executable, "-c", ALONE, text]

    @pytest.mark.parametrize(
        ("output", "reason"),
        [
            ("full", "No space left on device"),
            ("broken pipe", "Broken pipe"),
            ("closed", "it is closed"),
        ],
    )
    def test_output_cannot_be_written(self, output, reason):
        """Found in the end only, as the output is buffered; it is no difference."""
        buffered = {n: v for n, v in os.environ.items() if n != "PYTHONUNBUFFERED"}
        command = self.alone("print('differences'); sys.exit(1)")
        done = run_into(output, command, cwd=ROOT, env=buffered)
        told = f"the output cannot be written: {reason}\n"
        assert (done.returncode, done.stderr) == (74, told)

    @pytest.mark.parametrize(("output", "status"), [("full", 74), ("closed", 0)])
    def test_errors_cannot_be_written(self, output, status):
        """Nobody can be told; the status still says that it is not a difference."""
        command = self.alone("sys.stderr.write('x' * 10_000)")
        done = run_into(output, command, stream="stderr", cwd=ROOT)
        assert done.returncode == status

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

    def test_input_closed_and_nothing_printed__no_error(self):
        shell = ["sh", "-c", 'exec "$@" <&- >&-', "sh"]
        done = run_program([*shell, *self.alone("sys.exit(1)")])
        assert (done.returncode, done.stderr) == (1, "")

    def test_characters_that_do_not_fit__escaped(self):
        command = self.alone(r"print('ä', '\udc80', '日')")
        done = run_program(command, env=os.environ | {"PYTHONIOENCODING": "ascii"})
        assert done.stdout == r"\xe4 \udc80 \u65e5" + "\n"


class TestDatabaseUnavailable:
    COMMANDS: tuple[tuple[str, ...], ...] = (
        ("reconcile_uploads",),
        ("verify_uploads",),
        ("purge_uploads", "--older-than", "30d"),
        ("export_uploads",),
        ("export_events",),
        ("seal_audit",),
        ("verify_audit",),
        ("rotate_audit_key",),
        ("restore_events",),
        ("clearsessions",),
        ("changepassword", "admin"),
        ("createsuperuser", "--noinput", "--username=a", "--email=a@b.c"),
    )

    @pytest.mark.parametrize("kind", ["unreachable", "empty", "missing"])
    def test_every_command__one_sentence_and_status_2(
        self, bucket, service_environment, kind
    ):
        """A server that does not answer, a database that nobody migrated, and none."""
        urls = {
            "unreachable": "postgresql://u:hush@127.0.0.1:1/x",
            "empty": service_database_url("postgres"),
            "missing": service_database_url("none_has_this_name"),
        }
        environment = service_environment | {
            "DATABASE_URL": urls[kind],
            "AUDIT_SIGNING_KEY": KEY.secret_text(),
        }
        commands = self.COMMANDS
        if kind != "empty":
            commands = (*commands, ("migrate",))
        ended = endings(*commands, **environment)
        for command, (code, text) in zip(commands, ended, strict=True):
            assert code == 2, (command, text)
            line = text.splitlines()[-1]
            assert "database" in line, command
            assert "Traceback" not in text, command
            assert "hush" not in text
            assert kind != "missing" or '"none_has_this_name" does not exist' in line
        assert list(bucket.list_keys("")) == []


@pytest.mark.django_db(transaction=True)
def test_output_fails_afterwards__says_what_was_done(
    bucket, other_bucket, settings, monkeypatch
):
    settings.AUDIT_PUBLIC_KEYS = {KEY.id: KEY.public_key}
    owner = get_user_model().objects.create_user("owner")
    create_token(owner=owner, name="a-token", scopes=[Scope.READ], days=1, actor=ACTOR)
    making.overwrite(bucket, making.stored().key, b"other")
    making.put(making.pending())
    monkeypatch.setattr(sys, "stdout", FullOutput())
    for sentence, *command in (
        ("token a-token is revoked", "revoke_token", "a-token"),
        ("the check was recorded", "verify_audit"),
        ("1 corrupted", "verify_uploads"),
        ("1 repaired", "reconcile_uploads", "--fix", "--min-age=0s"),
        ("; backups/.* was stored", "backup_database"),
    ):
        with pytest.raises(CommandError, match=f"No space left.*{sentence}"):
            call_command(*command)
    name = other_bucket(exists=False).bucket_name
    with pytest.raises(CommandError, match=f"{name}: created"):
        call_command("ensure_bucket")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("command", "variable"),
    [
        ("seal_audit", "AUDIT_SIGNING_KEY"),
        ("rotate_audit_key", "AUDIT_SIGNING_KEY"),
        ("verify_audit", "AUDIT_PUBLIC_KEYS"),
        ("restore_events", "AUDIT_PUBLIC_KEYS"),
    ],
)
def test_no_key__misconfigured(bucket, settings, command, variable):
    settings.AUDIT_SIGNING_KEY, settings.AUDIT_PUBLIC_KEYS = None, {}
    with pytest.raises(CommandError, match=variable) as caught:
        call_command(command)
    assert caught.value.returncode == 78


@pytest.mark.django_db
@pytest.mark.parametrize(
    "command", ["ensure_bucket", "reconcile_uploads", "seal_audit"]
)
def test_store_unreachable__status_2(make_storage, settings, command):
    settings.AUDIT_SIGNING_KEY = bytes(32)
    make_storage(endpoint_url="http://127.0.0.1:1", max_attempts=1)
    with pytest.raises(CommandError, match="object store is unreachable") as caught:
        call_command(command)
    assert caught.value.returncode == 2


@pytest.mark.parametrize(
    ("command", "values", "words"),
    [
        ("backup_database --keep", ["0", "1001"], "is not a whole number from 1 to 1000"),
        (
            "canary --base-url",
            [
                "http://", "http://:4545", "http://127.0.0.1:99999",
                "http://127.0.0.1:0", "http://127.0.0.1:x",
                "http://name:secret@127.0.0.1", "http://127.0.0.1:4545/api", "http://127.0.0.1:4545?word=x",
                "file:///etc/passwd",
            ],
            "URL of only a host and a port",
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
        ("verify_audit --since", ["x", "-1", "2026-99-99", "1" + "0" * 20], "or give a seal number"),
        ("verify_audit --since", ["9999-12-31T23:59-02:00"], "beyond the years"),
        ("verify_uploads --jobs", ["0"], "argument --jobs"),
    ],
)  # fmt: skip
def test_bad_arguments(command, values, words):
    name, option = command.split()
    for value in values:
        with pytest.raises(CommandError, match=words):
            call_command(name, f"{option}={value}")


def test_canary__password_in_the_url():
    with pytest.raises(CommandError) as caught:
        call_command("canary", "--base-url=http://name:secret@127.0.0.1")
    assert "secret" not in str(caught.value)


def test_purge__needs_an_age():
    with pytest.raises(CommandError, match="--older-than"):
        call_command("purge_uploads")
