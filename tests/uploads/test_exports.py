from __future__ import annotations

import csv
import errno
import io
import json
import os
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.test.utils import CaptureQueriesContext

from mirrorsite.files import write_atomically
from tests.uploads import making
from tests.uploads.audit.tampering import as_owner, execute
from tests.uploads.making import run
from uploads import exports, transitions
from uploads.audit import log
from uploads.exceptions import TrailUnavailableError
from uploads.models import Action, Upload, UploadEvent

pytestmark = pytest.mark.django_db

AT = datetime(2026, 11, 23, 10, 30, 0, 5, tzinfo=UTC)


def recorded(ordinal: int, **fields: Any) -> Upload:
    return making.record(
        id=f"01900000-0000-7000-8000-{ordinal:012x}",
        key=f"uploads/{ordinal}.txt",
        sha256="ab" * 32,
        created_at=AT + timedelta(days=ordinal),
        **fields,
    )


class TestExportUploads:
    def test_csv__exact_bytes(self):
        upload = recorded(1, user_agent='curl "x"', number=7, client_address="::1")
        transitions.record(
            upload,
            Action.STORED,
            making.ACTOR,
            etag="e",
            stored_at=AT,
            duration=timedelta(seconds=1, microseconds=2999),
        )
        assert run("export_uploads") == (
            0,
            "id,status,bucket,key,size,sha256,etag,version_id,number,requester,"
            "client_address,user_agent,request_id,error,created_at,stored_at,"
            "duration_ms\r\n"
            f"01900000-0000-7000-8000-000000000001,stored,b,uploads/1.txt,4,{'ab' * 32}"
            ',e,,7,anonymous,::1,"curl ""x""",,,2026-11-24T10:30:00.000005Z,'
            "2026-11-23T10:30:00.000005Z,1002\r\n",
        )

    def test_jsonl__exact_bytes(self):
        recorded(1, user_agent="ä\u2028=1")
        status, text = run("export_uploads", "--format", "jsonl")
        assert status == 0
        assert text == (
            '{"bucket":"b","client_address":null,'
            '"created_at":"2026-11-24T10:30:00.000005Z","duration_ms":null,"error":"",'
            '"etag":"","id":"01900000-0000-7000-8000-000000000001",'
            '"key":"uploads/1.txt","number":null,"request_id":"",'
            f'"requester":"anonymous","sha256":"{"ab" * 32}","size":4,'
            '"status":"pending","stored_at":null,"user_agent":"\\u00e4\\u2028=1",'
            '"version_id":""}\n'
        )

    def test_formulas(self):
        """A spreadsheet shows the text instead of running it."""
        evil = [
            f'{start}cmd|" /C calc"!A1'
            for start in (
                *"=+-@\t\r\n",
                " =",
                "\u00a0@",
                *"\uff1d\uff0b\uff0d\uff20",
            )
        ]
        for number, text in enumerate(evil):
            recorded(number, user_agent=text)
        _, csv_text = run("export_uploads")
        rows = csv.DictReader(io.StringIO(csv_text, newline=""))
        assert [row["user_agent"] for row in rows] == [f"'{text}" for text in evil]
        _, lines = run("export_uploads", "--format", "jsonl")
        agents = [json.loads(line)["user_agent"] for line in lines.splitlines()]
        assert agents == evil

    def test_filters(self):
        uploads = [recorded(number) for number in (1, 2, 3)]
        transitions.record(uploads[1], Action.FAILED, making.ACTOR)

        def keys(*arguments: str) -> list[str]:
            _, text = run("export_uploads", *arguments)
            return [row["key"] for row in csv.DictReader(io.StringIO(text))]

        assert keys("--since", "2026-11-25") == ["uploads/2.txt", "uploads/3.txt"]
        assert keys("--until", "2026-11-25") == ["uploads/1.txt"]
        # Since is within, until without.
        exactly = "2026-11-25T10:30:00.000005Z"
        assert keys("--since", exactly, "--until", exactly) == []
        assert keys("--status", "failed") == ["uploads/2.txt"]
        both = ("--status", "failed", "--status", "pending")
        assert len(keys(*both)) == 3

    def test_pages(self, monkeypatch):
        """Nothing twice, nothing left out; a page in memory, no cursor left open."""
        monkeypatch.setattr(exports, "PAGE", 2)
        for number in (5, 3, 1, 4, 2):
            recorded(number)
        with CaptureQueriesContext(connection) as queries:
            rows = [row.key for row in exports.by_id(Upload.objects.all())]
        assert rows == [f"uploads/{number}.txt" for number in (1, 2, 3, 4, 5)]
        assert len(queries) == 3

    def test_output__whole_or_not_at_all(self, tmp_path):
        recorded(1)
        path = tmp_path / "uploads.csv"
        path.write_text("old")
        assert run("export_uploads", "--output", str(path)) == (0, "")
        _, text = run("export_uploads")
        assert path.read_bytes() == text.encode()
        assert path.stat().st_mode & 0o777 == 0o600

        def broken() -> Any:
            yield "half"
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            write_atomically(path, broken())
        assert path.read_bytes() == text.encode()
        assert [file.name for file in tmp_path.iterdir()] == ["uploads.csv"]

    @pytest.mark.parametrize("has_nameless_files", [True, False])
    def test_output__longest_name(self, tmp_path, monkeypatch, has_nameless_files):
        if not has_nameless_files:
            monkeypatch.delattr(os, "O_TMPFILE", raising=False)
        path = tmp_path / ("n" * (255 if has_nameless_files else 200))
        for _ in range(2):
            assert run("export_uploads", "--output", str(path)) == (0, "")
        assert list(tmp_path.iterdir()) == [path]
        assert path.stat().st_mode & 0o777 == 0o600

    def test_output__not_writable(self, tmp_path, make_fail):
        missing = tmp_path / "no" / "such" / "file.csv"
        assert run("export_uploads", "--output", str(missing)) == (74, "")
        make_fail(os, "fsync", OSError(errno.ENOSPC, "No space left on device"))
        path = tmp_path / "uploads.csv"
        with pytest.raises(CommandError, match="cannot be written: No space left"):
            call_command("export_uploads", "--output", str(path))
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
    def test_output__no_regular_file__not_replaced(self, tmp_path, make):
        """Such as /dev/null, which would be one afterwards."""
        path = tmp_path / "there"
        make(path)
        before = path.stat().st_ino
        assert run("export_uploads", "--output", str(path)) == (2, "")
        assert (path.stat().st_ino, path.is_file()) == (before, False)
        assert list(tmp_path.iterdir()) == [path]


class TestExportEvents:
    def test_both_formats(self):
        upload = recorded(1)
        transitions.record(
            upload, Action.FAILED, making.ACTOR, detail={"b": 1, "a": "=x"}
        )
        status, text = run("export_events", "--action", "failed", "--format", "jsonl")
        event = upload.events.get(action="failed")
        at = event.at.isoformat(timespec="microseconds").replace("+00:00", "Z")
        assert (status, text) == (
            0,
            f'{{"action":"failed","actor":"anonymous","at":"{at}",'
            f'"detail":{{"a":"=x","b":1}},"id":{event.pk},"request_id":"request-1",'
            f'"seal":null,"upload_id":"{upload.pk}"}}\n',
        )
        _, text = run("export_events")
        head, _, row, *_ = list(csv.reader(io.StringIO(text)))
        detail = '{"a":"=x","b":1}'
        assert dict(zip(head, row, strict=True)) == {
            "id": str(event.pk),
            "upload_id": str(upload.pk),
            "action": "failed",
            "at": at,
            "actor": "anonymous",
            "request_id": "request-1",
            "detail": detail,
            "seal": "",
        }
        assert run("export_events", "--since", "2999-01-01")[1].count("\n") == 1
        _, text = run("export_events", "--until", "2999-01-01", "--format", "jsonl")
        actions = [json.loads(line)["action"] for line in text.splitlines()]
        # The copies of before, and this one.
        assert actions == ["requested", "failed", *["exported"] * 4]


class TestUnreadable:
    """What the tables' owner can write once the database's checks are dropped."""

    @pytest.mark.parametrize(
        ("what", "column", "value"),
        [
            ("event", "detail", f'{{"size": {"9" * 5000}}}'),
            ("event", "detail", f'{{"a": {"[" * 5000}{"]" * 5000}}}'),
            ("event", "at", "infinity"),
            ("", "created_at", "infinity"),
            ("", "duration", "3000000 years"),
        ],
        ids=lambda value: value[:15],
    )
    def test_value(self, what, column, value):
        recorded(1)
        with as_owner():
            execute(f"UPDATE uploads_upload{what} SET {column} = %s", value)  # noqa: S608
            for form in exports.FORMATS:
                command = f"export_{what or 'upload'}s"
                status, text = making.run_with_errors(command, "--format", form)
                sentence = text.splitlines()[-1]
                assert status == 2
                assert sentence.startswith("a row cannot be read (")
                assert sentence.endswith(
                    "verify_audit reports which; the output is cut short."
                )

    def test_column_of_another_type(self):
        recorded(1)
        with as_owner():
            execute("ALTER TABLE uploads_upload ALTER size TYPE numeric")
            status, text = making.run_with_errors("export_uploads", "--format", "jsonl")
        assert (status, "a row cannot be read (Object of" in text) == (2, True)


class TestEvent:
    """Who takes a copy leaves an event."""

    @pytest.mark.parametrize(
        ("command", "option", "what"),
        [
            ("export_uploads", "status", "uploads"),
            ("export_events", "action", "events"),
        ],
    )
    def test_recorded(self, tmp_path, command, option, what):
        arguments = ["--since", "2026-11-01", f"--{option}", "stored"]
        assert run(command, *arguments)[0] == 0
        assert run(command, *arguments, "--output", str(tmp_path / "copy"))[0] == 0
        for event in UploadEvent.objects.all():
            assert (event.action, event.actor) == ("exported", f"command:{command}")
            assert event.detail == {
                "what": what,
                "format": "csv",
                "selection": "all that match",
                "filter": f"since=2026-11-01+00%3A00%3A00%2B00%3A00&{option}=stored",
            }
        assert UploadEvent.objects.count() == 2

    def test_no_copy_without_it(self, tmp_path, make_fail):
        make_fail(
            log,
            "record_without_upload",
            TrailUnavailableError("the record could not be written to the database"),
        )
        path = tmp_path / "copy"
        assert run("export_uploads", "--output", str(path))[0] == 2
        assert not path.exists()
