"""What the export commands share: where the lines go."""

from __future__ import annotations

import argparse
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from django.core.management.base import CommandParser

from mirrorsite.files import write_whole
from mirrorsite.management.arguments import moment
from mirrorsite.management.base import CommandFailed, OperatorCommand, counted
from uploads.exports import EVERYTHING, FORMATS, by_id, lines, record_export


class ExportCommand(OperatorCommand):
    """Write rows to a file, which appears whole or not at all, or to stdout."""

    noun: str
    #: The options that say which rows.
    filters: tuple[str, ...]
    columns: dict[str, Any]

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--format", choices=FORMATS, default="csv", help="default: %(default)s"
        )
        parser.add_argument(
            "--output",
            type=_file,
            metavar="FILE",
            help="write to this file, completely or not at all; default: standard output",
        )
        parser.add_argument(
            "--since", type=moment, metavar="TIME", help="such as 2026-11-01 or 30d"
        )
        parser.add_argument(
            "--until", type=moment, metavar="TIME", help="up to, and without"
        )

    def rows(
        self, *, since: datetime | None, until: datetime | None, **options: Any
    ) -> Any:
        """Return the queryset that the options ask for."""
        raise NotImplementedError

    def run(self, *args: Any, **options: Any) -> None:
        rows = self.rows(**options)
        output: Path | None = options["output"]
        if output and output.exists() and not output.is_file():
            # It would be replaced: a directory cannot be, and a device must not.
            raise CommandFailed(
                f"{output} is not a regular file; omit --output to write to a pipe or"
                " device"
            )
        chosen_by = {
            name: options[name]
            for name in self.filters
            if options[name] not in (None, [])
        }
        record_export(
            self.actor(),
            f"{self.noun}s",
            options["format"],
            selection=EVERYTHING,
            chosen_by=urlencode(chosen_by, doseq=True),
        )
        total = rows.count() if self.stderr.isatty() else None
        # A bar beside the data on one terminal would be in its way.
        progress = self.progress(f"{self.noun}s", total) if output else None
        source = by_id(rows)
        text = lines(
            progress.over(source) if progress else source,
            self.columns,
            form=options["format"],
        )
        self.so_far = "no file was written" if output else "the output is cut short"
        if output is None:
            # The same bytes under every locale; a test's StringIO has no encoding.
            reconfigure = getattr(self.stdout, "reconfigure", None)
            if reconfigure is not None:
                reconfigure(encoding="utf-8", newline="")
            for line in text:
                self.stdout.write(line, ending="")
            return
        write_whole(output, text)
        if progress:
            self.warn(f"{output}: {counted(progress.count, self.noun)}")


def _file(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("the file's name is empty")
    return Path(text)
