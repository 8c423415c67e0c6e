from __future__ import annotations

from uploads.management.export import ExportCommand
from uploads.models import Action, UploadEvent


class Command(ExportCommand):
    help = "Write the events as CSV (with spreadsheet formulas escaped) or JSON Lines."
    noun = "event"
    model = UploadEvent
    time_column = "at"
    choice_column = "action"
    choices = Action.values
