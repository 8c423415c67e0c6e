"""Print this machine's pip settings as a pip.conf for a build elsewhere.

`--paths` prints the files and directories that they name instead. Standard library
only; prints nothing where pip has its defaults.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

#: The settings that say where packages come from and whom to trust.
WANTED = {
    "cert",
    "extra-index-url",
    "find-links",
    "index-url",
    "proxy",
    "timeout",
    "trusted-host",
}


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


def main() -> int:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        capture_output=True,
        text=True,
        check=False,
    )
    settings = parse(done.stdout)
    if "--paths" in sys.argv[1:]:
        sys.stdout.writelines(f"{path}\n" for path in paths(settings))
    elif settings:
        lines = [f"{name} = {value}\n" for name, value in settings.items()]
        sys.stdout.writelines(["[global]\n", *lines])
    return 0


if __name__ == "__main__":
    sys.exit(main())
