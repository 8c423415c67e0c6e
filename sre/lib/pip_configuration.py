"""Write this machine's pip settings as a pip.conf for a build elsewhere.

Prints the files and directories that they name. Standard library only.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

#: The settings that say where packages come from and whom to trust.
WANTED = (
    *("cert", "extra-index-url", "find-links", "index-url"),
    *("proxy", "timeout", "trusted-host"),
)


def parse(listing: str) -> dict[str, str]:
    """Return the wanted settings from `pip config list`; the environment goes last."""
    found: dict[str, str] = {}
    for section in ("global", "install", ":env:"):
        pattern = rf"^{re.escape(section)}\.([a-z-]+)='(.*)'$"
        for name, value in re.findall(pattern, listing, re.MULTILINE):
            key = name.removeprefix("default-")
            if key in WANTED:
                found[key] = value.replace("\\n", " ").strip()
    return found


def paths(settings: dict[str, str]) -> list[Path]:
    """Return what the settings name on this machine, as far as it exists."""
    named = []
    for word in " ".join(settings.values()).split():
        local = url2pathname(urlsplit(word).path) if word.startswith("file:") else word
        path = Path(local)
        if path.is_absolute() and path.exists():
            named.append(path)
    # An index of files links to them with ../, so its parent is needed too.
    tops = {path.parent if path.name == "simple" else path for path in named}
    return sorted(tops)


def main(target: str) -> int:
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    ).stdout
    settings = parse(listing)
    lines = [f"{name} = {value}\n" for name, value in settings.items()]
    Path(target).write_text("".join(["[global]\n", *lines]))
    sys.stdout.writelines(f"{path}\n" for path in paths(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
