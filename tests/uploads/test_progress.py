"""How far a command is, on a terminal; and nothing of it elsewhere."""

from __future__ import annotations

import io
import os
import pty
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import TextIO

import pytest
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from mirrorsite.management.progress import Progress
from tests.uploads import making
from tests.uploads.audit.trails import KEY


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


def test_terminal__a_line_that_goes_away():
    def act(stream: TextIO) -> None:
        command = BaseCommand(stderr=stream)
        progress = Progress(command.stderr, what="keys", total=lambda: 2)
        assert list(progress.over("ab")) == ["a", "b"]
        progress.clear()

    shown = shown_on_a_terminal(act)
    assert "[############            ]  50% 1 keys" in shown
    assert shown.endswith("\r\033[K")


@pytest.mark.django_db
class TestProgressOfCommands:
    """Each that takes long shows how far it is; where a machine reads, none does."""

    @pytest.mark.parametrize(
        "arguments",
        [
            ["reconcile_uploads"],
            ["verify_uploads"],
            ["purge_uploads", "--older-than", "1s"],
            ["export_uploads", "--output", "FILE"],
            ["export_events", "--output", "FILE"],
            ["verify_audit", "--database-only"],
        ],
        ids=lambda words: words[0],
    )
    def test_terminal_and_pipe(self, bucket, settings, tmp_path, arguments):
        settings.AUDIT_PUBLIC_KEYS = {KEY.id: KEY.public_key}
        making.seal(making.stored(age=timedelta(days=1)))
        words = [word.replace("FILE", f"{tmp_path}/file") for word in arguments]

        def call(stream: TextIO) -> None:
            with suppress(CommandError):
                call_command(*words, stdout=io.StringIO(), stderr=stream)

        line, _, rest = shown_on_a_terminal(call).rpartition("\r\033[K")
        assert re.search(r"\r\033\[K.*\d (keys|seals|uploads|events)", line)
        assert "\033" not in rest
        call(pipe := io.StringIO())
        assert "\033" not in pipe.getvalue()
        assert "a second" not in pipe.getvalue()
