"""README and docs/ agree with the code: settings, commands, answers, links."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from mirrorsite.environment import VARIABLES, markdown_table

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
DOCUMENTS = [
    path.relative_to(ROOT)
    for pattern in ("*.md", "docs/**/*.md", "sre/*.md", "terraform/**/*.md")
    for path in sorted(ROOT.glob(pattern))
    if ".terraform" not in path.parts
]
#: The curls and the answers below them.
CURLS = re.findall(
    r"\$ curl (?:-X (\w+) )?'?http://127\.0\.0\.1:4545([^\s']+)'?\n(\{.*\})",
    README + (ROOT / "docs/api.md").read_text(),
)


class TestReadme:
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

    def test_commands__each_in_the_table(self):
        first_table = (ROOT / "docs/commands.md").read_text().partition("\n## ")[0]
        rows = re.findall(r"^\| (`.+?) \|", first_table, re.MULTILINE)
        named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
        ours = {
            path.stem
            for package in ("mirrorsite", "uploads")
            for path in (ROOT / package).rglob("management/commands/*.py")
        }
        assert named == ours - {"__init__"}

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

    @pytest.mark.parametrize("document", DOCUMENTS, ids=str)
    def test_links_and_pictures__are_there(self, document):
        text = (ROOT / document).read_text()
        for target in re.findall(r"\]\((?!https?:|mailto:)([^)#\s]+)", text):
            assert (ROOT / document.parent / target).exists(), target

    @pytest.mark.django_db
    def test_curls(self, client, bucket):
        assert len(CURLS) == 4
        for method, path, shown in CURLS:
            response = client.generic(method or "GET", path)
            answered = response.content.decode()
            if path == "/api/upload-random":
                assert json.loads(answered).keys() == json.loads(shown).keys()
            else:
                assert answered == shown
