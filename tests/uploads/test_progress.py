"""How far a command is, on a terminal; and nothing of it elsewhere."""

from __future__ import annotations

import io
import os
import pty
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, TextIO
from unittest import mock

import pytest
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from mirrorsite.management.progress import Progress
from tests.uploads import making
from tests.uploads.audit.trails import KEY
from uploads.storage import UploadStorage


def shown_on_a_terminal(act: Callable[[TextIO], None]) -> str:
    """Return what `act` wrote, read up to a mark: a terminal delivers in pieces, later."""
    end = b"<end>"
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as stream:
        act(stream)
        stream.write(end.decode())
        stream.flush()
        shown = b""
        while not shown.endswith(end):
            shown += os.read(ours, 1000)
    os.close(ours)
    return shown.removesuffix(end).decode()


class TestProgress:
    def test_pipe__nothing(self):
        stream = io.StringIO()
        progress = Progress(command_stream(stream), what="keys", total=3)
        assert list(progress.over([1, 2, 3])) == [1, 2, 3]
        assert (progress.count, stream.getvalue()) == (3, "")

    def test_terminal__a_line_that_goes_away(self):
        def act(stream: TextIO) -> None:
            progress = Progress(command_stream(stream), what="keys", total=2)
            for _ in progress.over([1, 2]):
                pass

        shown = shown_on_a_terminal(act)
        assert "[############            ]  50% 1 keys" in shown
        assert shown.endswith("\r\033[K")


def command_stream(stream: Any) -> Any:
    return BaseCommand(stderr=stream).stderr


@pytest.mark.django_db
class TestProgressOfCommands:
    """Each that takes long shows how far it is; where a machine reads, none does."""

    @pytest.fixture
    def arguments(
        self,
        request: pytest.FixtureRequest,
        bucket: UploadStorage,
        settings: Any,
        tmp_path: Path,
    ) -> list[str]:
        settings.AUDIT_PUBLIC_KEYS = {KEY.id: KEY.public_key}
        then = timezone.now() - timedelta(days=1)
        with mock.patch.object(timezone, "now", return_value=then):
            making.seal(making.stored())
        return [word.replace("FILE", f"{tmp_path}/file") for word in request.param]

    each = pytest.mark.parametrize(
        "arguments",
        [
            ["reconcile_uploads"],
            ["verify_uploads"],
            ["purge_uploads", "--older-than", "1s"],
            ["export_uploads", "--output", "FILE"],
            ["export_events", "--output", "FILE"],
            ["verify_audit", "--database-only"],
        ],
        indirect=True,
        ids=lambda words: words[0],
    )

    @each
    def test_terminal(self, arguments):
        shown = shown_on_a_terminal(lambda stream: self.call(arguments, stream))
        line, _, rest = shown.rpartition("\r\033[K")
        assert re.search(r"\r\033\[K.*\d (keys|seals|uploads|events)", line)
        assert "\033" not in rest

    @each
    def test_pipe(self, arguments):
        stream = io.StringIO()
        self.call(arguments, stream)
        assert "\033" not in stream.getvalue()
        assert "a second" not in stream.getvalue()

    def call(self, arguments: list[str], stream: Any) -> None:
        with suppress(CommandError):
            call_command(*arguments, stdout=io.StringIO(), stderr=stream)
