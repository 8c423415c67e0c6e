from __future__ import annotations

from uploads.exports import EVENT_COLUMNS
from uploads.management.export import ExportCommand
from uploads.models import Action, UploadEvent


class Command(ExportCommand):
    help = "Write the events as CSV (with spreadsheet formulas escaped) or JSON Lines."
    noun = "event"
    model = UploadEvent
    columns = EVENT_COLUMNS
    time_column = "at"
    choice_column = "action"
    choices = Action.values
