"""Types of command-line arguments; what does not fit is a usage error."""

from __future__ import annotations

import argparse
from datetime import datetime

from uploads.arguments import moment


def positive_seconds(text: str) -> float:
    """Read a number of seconds above zero."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 86_400:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of seconds above 0, at most 86400"
        )
    return seconds


def positive_minutes(text: str) -> float:
    """Read a number of minutes above zero."""
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not 0 < minutes <= 527_040:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of minutes above 0, at most 527040 (a year)"
        )
    return minutes


def seal_or_time(text: str) -> int | datetime:
    """Read a seal's number, or a point in time, or how long ago it was."""
    if text.isdecimal():
        if len(text) > 10:
            raise argparse.ArgumentTypeError(f"{text!r} is more than any seal's number")
        return int(text)
    try:
        return moment(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a seal's number nor a time: {error}"
        ) from error
