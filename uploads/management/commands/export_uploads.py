from __future__ import annotations

from uploads.management.export import ExportCommand
from uploads.models import Status, Upload


class Command(ExportCommand):
    help = "Write the uploads as CSV (with spreadsheet formulas escaped) or JSON Lines."
    noun = "upload"
    model = Upload
    time_column = "created_at"
    choice_column = "status"
    choices = Status.values
