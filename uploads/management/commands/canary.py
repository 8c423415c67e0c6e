from __future__ import annotations

import argparse
import re
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import CommandParser

from mirrorsite.management.base import DifferencesFound, OperatorCommand, counted
from uploads.canary import Canary, Step


class Command(OperatorCommand):
    help = (
        "Check the service as a client would use it: health, mirror, upload, read back,"
        " verify."
    )
    so_far = "not every step was run"
    json_output = "one JSON object"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--base-url",
            type=_base_url,
            default=settings.CANARY_BASE_URL,
            metavar="URL",
            help="default: CANARY_BASE_URL, else http://127.0.0.1:4545",
        )
        parser.add_argument(
            "--token",
            type=_token,
            default=settings.CANARY_TOKEN,
            help="token for the endpoints that need one; prefer the variable CANARY_TOKEN,"
            " because options are visible in the process list",
        )

    def run(self, *, base_url: str, token: str, **options: Any) -> None:
        canary = Canary(
            base_url,
            token=token,
            # Assumes that HTTPS_ONLY is the same here as in the service.
            behind_tls=settings.HTTPS_ONLY and base_url.startswith("http://"),
        )
        steps: list[Step] = []
        for step in canary.steps():
            steps.append(step)
            if not self.as_json:
                self.print(_line(step))
        failed = [step for step in steps if step.outcome == "failed"]
        report = {
            "ok": not failed,
            "base_url": base_url,
            "request_id": canary.request_id,
            "steps": [asdict(step) for step in steps],
        }
        if self.as_json:
            self.print_json(report)
        # Set even if no step failed: the error message has it if writing the output fails.
        self.so_far = f"{counted(len(failed), 'step')} failed"
        if failed:
            raise DifferencesFound(f"{self.so_far}.")


def _line(step: Step) -> str:
    # In capitals, so that a step that checked nothing is not taken for a success.
    outcome = step.outcome.upper() if step.outcome == "skipped" else step.outcome
    note = f"  {step.note}" if step.note else ""
    return f"{step.name:<10} {outcome:<8} {step.duration_ms:8.1f} ms{note}"


def _base_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        is_host = bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_host = False
    # No user name and password: the canary would not send them. The message leaves the
    # value out, because it may hold a password.
    if not is_host or not re.fullmatch(r"https?://[^/?#@]+/?", text):
        raise argparse.ArgumentTypeError(
            "the value must be an http or https URL of only a host and a port, such as"
            " http://127.0.0.1:4545"
        )
    return text


def _token(text: str) -> str:
    """Reject a token that a header cannot hold, without showing it."""
    text = text.strip()
    if not text.isascii() or not text.isprintable() or " " in text:
        raise argparse.ArgumentTypeError(
            "the token has a character that is not allowed in tokens"
        )
    return text
