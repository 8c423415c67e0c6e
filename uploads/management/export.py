"""The base class of the export commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from django.core.management.base import CommandParser
from django.db.models import Model

from mirrorsite.files import write_atomically
from mirrorsite.management.arguments import moment
from mirrorsite.management.base import CommandFailed, OperatorCommand, counted
from uploads.exports import EVERYTHING, EXPORTS, FORMATS, by_id, lines, record_export


class ExportCommand(OperatorCommand):
    """Writes rows to standard output, or to a file: completely or not at all."""

    noun: str
    model: type[Model]
    time_column: str
    #: A column with few values; the option of the same name selects rows by it.
    choice_column: str
    choices: list[str]

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--format", choices=FORMATS, default="csv", help="default: %(default)s"
        )
        parser.add_argument(
            "--output",
            type=Path,
            metavar="FILE",
            help="write to this file, completely or not at all; default: standard output",
        )
        parser.add_argument(
            "--since",
            type=moment,
            metavar="TIME",
            help="from this time on, such as 2026-11-01 or 30d",
        )
        parser.add_argument(
            "--until", type=moment, metavar="TIME", help="before this time"
        )
        parser.add_argument(
            f"--{self.choice_column}",
            action="append",
            choices=self.choices,
            default=[],
            help="only rows with this value; may be given several times",
        )

    def run(self, *args: Any, **options: Any) -> None:
        lookups = {
            "since": f"{self.time_column}__gte",
            "until": f"{self.time_column}__lt",
            self.choice_column: f"{self.choice_column}__in",
        }
        given = {name: options[name] for name in lookups if options[name]}
        rows = self.model._default_manager.filter(
            **{lookups[name]: value for name, value in given.items()}
        )
        name, columns = EXPORTS[self.model]
        output: Path | None = options["output"]
        form = options["format"]
        if output and output.exists() and not output.is_file():
            # The file is replaced; a directory cannot be, and a device must not be.
            raise CommandFailed(
                f"{output} is not a regular file; omit --output to write to a pipe or"
                " device"
            )
        record_export(
            self.actor(),
            name,
            form,
            selection=EVERYTHING,
            filters=urlencode(given, doseq=True),
        )
        if output is None:
            self.so_far = "the output is cut short"
            # The bytes must not depend on the locale. A StringIO has no encoding.
            reconfigure = getattr(self.stdout, "reconfigure", None)
            if reconfigure is not None:
                reconfigure(encoding="utf-8", newline="")
            for line in lines(by_id(rows), columns, form=form):
                self.stdout.write(line, ending="")
            return
        self.so_far = "no file was written"
        progress = self.progress(name, rows.count)
        source = progress.over(by_id(rows))
        write_atomically(output, lines(source, columns, form=form))
        self.note(f"{output}: {counted(progress.count, self.noun)}")
