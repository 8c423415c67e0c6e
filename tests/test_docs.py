"""What README and docs/ name exists, and their ```bash blocks work when pasted.

Blocks marked ```sh need a cluster, an account or the internet and are not run. The
tutorial's blocks are run in tests/sre/test_run.py, those of the runbook here. On other
pages they are commands of manage.py, each with tests of its own: here their names and
options are looked up.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import subprocess
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from django.core.management import get_commands, load_command_class
from django.core.management.base import CommandParser
from django.db import connection

from mirrorsite.environment import VARIABLES, markdown_table
from tests.conftest import service_database_url
from tests.support import ROOT
from tests.uploads.audit.trails import KEY, connected_to
from tests.uploads.making import ACTOR
from tests.uploads.making import run_with_errors as run
from uploads.audit.report import FaultKind
from uploads.reconciliation import FindingKind
from uploads.services import create_upload

TRACKED = [
    ROOT / name
    for name in subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    if name and (ROOT / name).is_file()
]
PAGES = [path for path in TRACKED if path.suffix == ".md"]
#: Everything but pages and pictures.
SOURCES = {
    path: path.read_text(errors="ignore")
    for path in TRACKED
    if path.suffix not in {".md", ".png", ".svg"}
}
README = (ROOT / "README.md").read_text()
each_page = pytest.mark.parametrize(
    "page", PAGES, ids=lambda path: str(path.relative_to(ROOT))
)


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks of a language, without indentation."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", text, re.DOTALL | re.M)
    return [re.sub(rf"^{indent}", "", code, flags=re.M) for indent, code in found]


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitLab and GitHub make of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in headings
    }


def parser_of(name: str) -> CommandParser:
    known = get_commands()
    assert name in known, name
    app = known[name]
    assert isinstance(app, str)
    return load_command_class(app, name).create_parser("manage.py", name)


class TestPages:
    @each_page
    def test_links__exist(self, page):
        for target, anchor in re.findall(
            r"\]\((?!https?:|mailto:)([^)#\s]*)#?([^)\s]*)\)", page.read_text()
        ):
            linked = page.parent / target if target else page
            assert linked.exists(), target
            assert not anchor or anchor in anchors(linked), anchor

    @each_page
    def test_files__exist(self, page):
        packages = "mirrorsite|transforms|uploads|tests|requirements"
        path = rf"`((?:{packages})/[\w/]+(?:\.py|\.txt|/))`|\b(sre/[a-z][\w.-]*\w)"
        for names in re.findall(path, page.read_text()):
            assert (ROOT / "".join(names)).exists(), names

    @each_page
    def test_commands__exist_with_their_options(self, page):
        line = r"(?:manage\.py|sre/manage) ([a-z_]+)([^`\n#|;&)]*)"
        for name, rest in re.findall(line, page.read_text()):
            options = parser_of(name).format_help()
            for option in re.findall(r"(?<!\S)(--[a-z-]+)", rest):
                assert re.search(rf"{option}\b", options), (name, option)

    @each_page
    def test_variables__exist(self, page):
        if page.parent.name == "decisions":
            pytest.skip("records name what was not chosen, too")
        known = {
            word
            for text in SOURCES.values()
            for word in re.findall(r"[A-Z][A-Z0-9_]{3,}", text)
        }
        names = re.findall(r"`([A-Z][A-Z0-9]*_[A-Z0-9_]+)=?[^`]*`", page.read_text())
        assert set(names) <= known


def test_sources__name_pages_and_headings_that_exist():
    """As messages do: see docs/runbook.md, 'The database is lost'."""
    reference = r"""(?<![\w/])docs/([\w/-]+\.md)(?:,['"\s#]+(?<=['"])([^'"]+)['"])?"""
    for path, text in SOURCES.items():
        for name, heading in re.findall(reference, text):
            page = (ROOT / "docs" / name).read_text()
            found = re.search(rf"^#+ {re.escape(heading)}$", page, re.M)
            assert found or not heading, (path, heading)


class TestTables:
    """A table has each name that the code has, once."""

    def first_column(self, heading: str) -> list[str]:
        text = (ROOT / "docs/commands.md").read_text()
        section = text.split(f"\n## {heading}\n")[1] if heading else text
        cells = re.findall(r"^\| (`[^|]*) \|", section.partition("\n## ")[0], re.M)
        return sorted(name for cell in cells for name in re.findall(r"`(.*?)`", cell))

    def test_findings(self):
        assert self.first_column("reconcile_uploads") == sorted(FindingKind)

    def test_faults(self):
        assert self.first_column("verify_audit") == sorted(FaultKind)

    def test_commands(self):
        ours = {
            path.stem
            for package in ("mirrorsite", "uploads")
            for path in (ROOT / package).rglob("management/commands/*.py")
        }
        assert self.first_column("") == sorted(ours - {"__init__"})

    def test_variables(self):
        assert markdown_table() in (ROOT / "docs/settings.md").read_text()

    def test_variables__settings_read_each(self):
        settings = (ROOT / "mirrorsite" / "settings.py").read_text()
        read = set(re.findall(r'env\.\w+\(\s*"([A-Z0-9_]+)"', settings))
        assert read == set(VARIABLES)

    def test_scripts(self):
        table = (ROOT / "sre" / "README.md").read_text()
        named = {
            name
            for cell in re.findall(r"^\| (`.+?) \|", table, re.MULTILINE)
            for name in re.findall(r"`([\w.-]+)`", cell)
        }
        scripts = {
            path.name
            for path in (ROOT / "sre").iterdir()
            if path.is_file() and os.access(path, os.X_OK)
        }
        assert named == scripts


@pytest.mark.django_db
def test_curls(client, bucket):
    """Each is answered as the page shows."""
    curls = re.findall(
        r"\$ curl (?:-X (\w+) )?'?http://127\.0\.0\.1:4545([^\s']+)'?\n(\{.*\})",
        README + (ROOT / "docs/api.md").read_text(),
    )
    assert len(curls) == 4
    for method, path, shown in curls:
        response = client.generic(method or "GET", path)
        answered = response.content.decode()
        if path == "/api/upload-random":
            assert json.loads(answered).keys() == json.loads(shown).keys()
        else:
            assert answered == shown


def manage_lines(block: str) -> list[list[str]]:
    """Return the commands of a block that holds nothing but lines for manage.py."""
    lines = [shlex.split(line, comments=True) for line in block.splitlines()]
    for line in lines:
        assert {"./sre/manage", "manage.py"} & set(line[:2]), line
    return [line[1:] if line[0] == "./sre/manage" else line[2:] for line in lines]


def test_bash_blocks__run_or_parsed():
    """Those of README, tutorial and runbook are run; of the others, each line is parsed."""
    parsed = set()
    for page in PAGES:
        found = blocks(page.read_text(), "bash")
        if not found or page.stem in {"README", "tutorial", "runbook"}:
            continue
        parsed.add(page.stem)
        for name, *arguments in manage_lines("".join(found)):
            parser_of(name).parse_args(arguments)
    assert parsed == {"api", "backup", "commands", "keys"}


@pytest.mark.integration
@pytest.mark.django_db(transaction=True)
def test_runbook__database_lost(bucket, settings, empty_database):
    """After a seal over an upload that the backup lacks."""
    settings.AUDIT_SIGNING_KEY = base64.b64decode(KEY.secret_text())
    settings.AUDIT_PUBLIC_KEYS = {}
    for commands in (["seal_audit", "backup_database"], ["seal_audit"]):
        create_upload(actor=ACTOR)
        assert [run(command)[0] for command in commands] == [0] * len(commands)
    with connected_to(empty_database):
        restore, restore_events, afterwards = (
            [run(*line) for line in manage_lines(block)]
            for block in blocks((ROOT / "docs/runbook.md").read_text(), "bash")
        )
    assert restore[-1][0] == 1
    assert "is not in the database" in restore[-1][1]
    assert restore_events[-1][0] == 0
    assert afterwards[-1][0] == 0
    assert "2 uploads: no faults" in afterwards[-1][1]


@pytest.mark.django_db(transaction=True)
def test_runbook__session_holds_a_row():
    """The two lines of SQL find the session and end it."""
    (block,) = blocks((ROOT / "docs/runbook.md").read_text(), "sql")
    find, end = block.splitlines()
    with closing(psycopg.connect(service_database_url())) as holding:
        holding.execute("UPDATE uploads_upload SET error = ''")
        pid = holding.info.backend_pid
        with connection.cursor() as cursor:
            cursor.execute(find)
            assert (pid, "UPDATE uploads_upload SET error = ''") in cursor.fetchall()
            cursor.execute(end.replace("PID", str(pid)))
            assert cursor.fetchone() == (True,)
        with pytest.raises(psycopg.OperationalError):
            holding.execute("SELECT 1")
