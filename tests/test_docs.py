"""What README and docs/ name exists, and their ```bash blocks work when pasted.

Blocks marked ```sh need a cluster, an account or the internet and are not run; the
section they are in says which. ```sql blocks are those of the runbook, and run too.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from django.core.management import get_commands, load_command_class
from django.db import connection

from mirrorsite.environment import VARIABLES, markdown_table
from sre.lib import processes
from sre.lib.ports import free_ports
from tests.conftest import service_database_url
from tests.support import ROOT, manage
from tests.uploads.audit.trails import KEY
from tests.uploads.making import ACTOR
from uploads.audit.report import FaultKind
from uploads.reconciliation.findings import FindingKind
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
README = (ROOT / "README.md").read_text()
#: The curls and the answers below them.
CURLS = re.findall(
    r"\$ curl (?:-X (\w+) )?'?http://127\.0\.0\.1:4545([^\s']+)'?\n(\{.*\})",
    README + (ROOT / "docs/api.md").read_text(),
)
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
    def test_scripts__exist(self, page):
        for name in re.findall(r"\bsre/([a-z][\w.-]*\w)", page.read_text()):
            assert (ROOT / "sre" / name).exists(), name

    @each_page
    def test_files__exist(self, page):
        packages = "mirrorsite|transforms|uploads|tests|requirements"
        path = rf"`((?:{packages})/[\w/]+(?:\.py|\.txt|/))`"
        for name in re.findall(path, page.read_text()):
            assert (ROOT / name).exists(), name

    @each_page
    def test_commands__exist_with_their_options(self, page):
        """Of manage.py and ./sre/manage, in blocks and between backticks."""
        known = get_commands()
        line = r"(?:manage\.py|sre/manage) ([a-z_]+)([^`\n#|;&)]*)"
        for name, rest in re.findall(line, page.read_text()):
            assert name in known, name
            app = known[name]
            assert isinstance(app, str)
            parser = load_command_class(app, name).create_parser("manage.py", name)
            for option in re.findall(r"(?<!\S)(--[a-z-]+)", rest):
                assert option in parser._option_string_actions, (name, option)

    @each_page
    def test_variables__exist(self, page):
        if page.parent.name == "decisions":
            pytest.skip("records name what was not chosen, too")
        for name in re.findall(
            r"`([A-Z][A-Z0-9]*_[A-Z0-9_]+)=?[^`]*`", page.read_text()
        ):
            assert name in WORDS, name

    @each_page
    def test_what_is_not_run__says_what_it_needs(self, page):
        """In the prose of its section, or in the page's introduction."""
        introduction, *sections = re.split(r"(?m)^## ", page.read_text())
        for section in [introduction, *sections]:
            if blocks(section, "sh"):
                prose = re.sub(r"(?ms)^ *```.*?^ *```$", "", introduction + section)
                assert re.search(r"\b[Nn]eeds?\b", prose), section.splitlines()[0]

    @each_page
    def test_blocks__are_run_or_marked(self, page):
        languages = set(re.findall(r"^ *```(\S+)$", page.read_text(), re.M))
        assert languages <= {"bash", "sh", "console", "mermaid", "sql"}
        assert "sql" not in languages or page.name == "runbook.md"


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

    def test_variables(self):
        assert markdown_table() in (ROOT / "docs/settings.md").read_text()

    def test_variables__settings_read_each(self):
        settings = (ROOT / "mirrorsite" / "settings.py").read_text()
        read = set(re.findall(r'env\.\w+\(\s*"([A-Z0-9_]+)"', settings))
        assert read == set(VARIABLES)

    def test_scripts__each_in_the_table(self):
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

    def test_commands(self):
        ours = {
            path.stem
            for package in ("mirrorsite", "uploads")
            for path in (ROOT / package).rglob("management/commands/*.py")
        }
        assert self.first_column("") == sorted(ours - {"__init__"})

    def test_decisions__each_in_the_index_with_a_number_of_its_own(self):
        folder = ROOT / "docs/decisions"
        records = sorted(path.name for path in folder.glob("0*.md"))
        index = (folder / "README.md").read_text()
        assert re.findall(r"^\| \[(\d{4})\]\((.*?)\)", index, re.MULTILINE) == [
            (f"{number:04}", name) for number, name in enumerate(records, 1)
        ]
        for number, name in enumerate(records, 1):
            assert (folder / name).read_text().startswith(f"# {number}. "), name

    def test_folders(self):
        for folder in re.findall(r"^\| `(\w+)/` \|", README, re.MULTILINE):
            assert (ROOT / folder).is_dir(), folder


@pytest.mark.django_db
def test_curls(client, bucket):
    assert len(CURLS) == 4
    for method, path, shown in CURLS:
        response = client.generic(method or "GET", path)
        answered = response.content.decode()
        if path == "/api/upload-random":
            assert json.loads(answered).keys() == json.loads(shown).keys()
        else:
            assert answered == shown


#: Everything but pages and pictures.
SOURCES = {
    path: path.read_text(errors="ignore")
    for path in TRACKED
    if path.suffix not in {".md", ".png", ".svg"}
}
WORDS = {
    word
    for text in SOURCES.values()
    for word in re.findall(r"[A-Z][A-Z0-9_]{3,}", text)
}


def test_sources__name_pages_and_headings_that_exist():
    """As messages do: see docs/runbook.md, 'The database is lost'."""
    reference = r"""(?<![\w/])docs/([\w/-]+\.md)(?:,['"\s#]+(?<=['"])([^'"]+)['"])?"""
    found = [
        (path, *match)
        for path in SOURCES
        for match in re.findall(reference, SOURCES[path])
    ]
    assert any(heading for _, _, heading in found)
    for path, name, heading in found:
        page = ROOT / "docs" / name
        assert page.exists(), (path, name)
        if heading:
            assert re.search(rf"^#+ {re.escape(heading)}$", page.read_text(), re.M), (
                path
            )


@dataclass
class Shell:
    """A bash in a copy of the project whose ./sre/run is running."""

    directory: Path
    environment: dict[str, str]
    ports: dict[str, str]

    def run(self, commands: str) -> str:
        for default, port in self.ports.items():
            commands = commands.replace(f"127.0.0.1:{default}", f"127.0.0.1:{port}")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=self.directory,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout


@pytest.fixture
def shell() -> Iterator[Shell]:
    # Not in tmp_path: as root, the database's user passes through the folders above.
    with tempfile.TemporaryDirectory(prefix="mirrorsite-docs-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        for path in TRACKED:
            copy = directory / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
        (directory / ".venv").symlink_to(sys.prefix)
        port, store_port = map(str, free_ports(2))
        kept = {"HOME", "LANG", "PYTHON", "PIP_CONFIG_FILE", "PIP_INDEX_URL"}
        environment = {
            **{key: value for key, value in os.environ.items() if key in kept},
            "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}",
            "BIND": f"127.0.0.1:{port}",
            "STORE_PORT": store_port,
            "METRICS_BIND": "off",
        }
        output = directory / "output"
        with output.open("wb") as file:
            service = subprocess.Popen(
                [directory / "sre/run"],
                env=environment,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        try:
            assert processes.wait_until(
                lambda: b"Ctrl-C stops everything" in output.read_bytes(),
                seconds=180,
                process=service,
            ), output.read_text()
            yield Shell(directory, environment, {"4545": port, "8333": store_port})
        finally:
            service.send_signal(signal.SIGINT)
            service.wait(60)


#: Pages whose blocks are run, in this order: the last one rotates the key. README's two
#: commands are what tests/sre/test_run.py and this suite are.
RUN = ["tutorial", "api", "commands", "backup", "keys"]


def test_every_runnable_block_is_run():
    found = {page.stem for page in PAGES if blocks(page.read_text(), "bash")}
    assert found == {"README", "runbook", *RUN}


@pytest.mark.service
def test_blocks_run(shell, subtests):
    for page in RUN:
        text = (ROOT / f"docs/{page}.md").read_text()
        with subtests.test(page):
            # One shell for a page's steps, as a reader has.
            printed = shell.run("\n".join(blocks(text, "bash")))
            if page == "tutorial":
                assert printed.count('"status":"stored"') == 4
                assert "2 keys compared, 0 differences" in printed
                assert "2 uploads checked: 2 verified" in printed
                assert "2 uploads: no faults" in printed
                assert "events: all as signed" in printed
                assert "the file is not what was sealed" in printed
                assert "exit status 1" in printed


@pytest.fixture
def empty_database(transactional_db: None) -> Iterator[str]:
    """Return the URL of an empty database."""
    name = f"restored_{secrets.token_hex(4)}"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
    yield service_database_url(name)
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.integration
def test_runbook__database_lost(service_environment, empty_database):
    """After a seal over an upload that the backup lacks."""
    environment = {
        **os.environ,
        **service_environment,
        "AUDIT_SIGNING_KEY": KEY.secret_text(),
        "AUDIT_PUBLIC_KEYS": KEY.public_text(),
    }
    for commands in (["seal_audit", "backup_database"], ["seal_audit"]):
        create_upload(actor=ACTOR)
        for command in commands:
            done = manage(command, environment=environment)
            assert done.returncode == 0, done.stderr
    restore, restore_events, afterwards = (
        subprocess.run(
            ["bash", "-c", block.replace(".venv/bin/python", sys.executable)],
            cwd=ROOT,
            env=environment | {"DATABASE_URL": empty_database},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        for block in blocks((ROOT / "docs/runbook.md").read_text(), "bash")
    )
    assert restore.returncode == 1
    assert "is not in the database" in restore.stdout
    assert restore_events.returncode == 0, restore_events.stdout
    assert afterwards.returncode == 0, afterwards.stdout
    assert "2 uploads: no faults" in afterwards.stdout


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
