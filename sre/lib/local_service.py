"""The local service: PostgreSQL, S3 server, gunicorn and sealer; ended together.

Started by ./sre/run, and by ./sre/manage with the arguments of manage.py. The service's
own code runs in children.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn
from urllib.parse import urlsplit

import psutil
from django.core.exceptions import ImproperlyConfigured

from mirrorsite.environment import VARIABLES, Environment
from sre.lib import processes
from sre.lib.object_store import ObjectStore
from sre.lib.ports import answers, is_listening
from sre.lib.postgres import Postgres
from sre.lib.processes import StartError
from sre.lib.service import GUNICORN, ROOT
from uploads.audit.keys import SigningKey

LOCAL = ROOT / ".local"
#: What ./sre/manage needs to know of the running service.
RUNNING = LOCAL / "running.json"
BUCKET = "mirrorsite-uploads"
#: How often to check that all children run; the sealer is started again at most that
#: often.
CHECK_SECONDS = 5.0
#: What database and S3 server need before they hold anything.
FREE_BYTES = 64 * 1024 * 1024
#: gunicorn gives its requests 25 seconds to finish.
ORPHAN_SECONDS = 40


class _Stop(Exception):  # noqa: N818 not an error: a request to end
    pass


def main() -> int:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _raise_stop)
    children = contextlib.ExitStack()  # ended in the opposite order
    try:
        return _serve(children)
    except (_Stop, KeyboardInterrupt):
        _say("\nStopping …")
        return 0
    except (StartError, ImproperlyConfigured) as error:
        _say(f"mirrorsite cannot start: {error}")
        return 2
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        _say(f"mirrorsite cannot start: {error.strerror or error}{where}.")
        return 2
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        children.close()


def _serve(children: contextlib.ExitStack) -> int:
    """Start everything and wait for the web server to end."""
    LOCAL.mkdir(mode=0o700, exist_ok=True)
    # The objects' folder has a mode of its own: if this runs as root, PostgreSQL's user
    # gets access through .local.
    (LOCAL / "store").mkdir(exist_ok=True)
    (LOCAL / "store").chmod(0o700)
    _lock(LOCAL / "lock")  # until this process ends
    RUNNING.unlink(missing_ok=True)
    lock = _children_lock()
    if shutil.disk_usage(LOCAL).free < FREE_BYTES:
        raise StartError(
            f"the disk of {LOCAL} is full: less than {FREE_BYTES >> 20} MiB are free;"
            " delete something there."
        )
    environment = _environment()
    bind = Environment(environment).address("BIND")
    address = urlsplit(f"//{bind}")
    port = int(address.port or 0)
    if is_listening(port, str(address.hostname)):
        raise StartError(
            f"port {port} is taken; stop what listens there,"
            f" or set BIND to another address such as 127.0.0.1:{port + 1}."
        )
    servers: dict[str, Postgres | ObjectStore] = {}
    if not _is_given("DATABASE_URL"):
        _say("Starting PostgreSQL …")
        postgres = servers["PostgreSQL"] = _postgres()
        postgres.keep_open = (lock,)
        children.callback(postgres.stop)
        postgres.start()
        environment["DATABASE_URL"] = postgres.url
    if not _is_given("AWS_STORAGE_BUCKET_NAME"):
        _say("Starting the S3 server …")
        store = servers["S3 server"] = _store(environment)
        store.keep_open = (lock,)
        children.callback(store.stop)
        store.start()
        # A session token or profile of the shell belongs to another account's keys.
        environment = _without_aws(environment) | store.environment(BUCKET)
    # Commands use the settings that the service was started with, such as other keys.
    names = {"DATABASE_URL", "NO_PROXY", "no_proxy", *filter(_is_given, VARIABLES)}
    shared = {
        k: v for k, v in environment.items() if k in names or k.startswith("AWS_")
    }
    _write_private(RUNNING, shared)
    _say("Preparing database, bucket and admin …")
    _prepare(environment)
    _say("Starting the web server …")
    # Only the sealer signs; a compromised web server has no key.
    keyless = {k: v for k, v in environment.items() if k != "AUDIT_SIGNING_KEY"}
    server = processes.start(
        [sys.executable, *GUNICORN], environment=keyless, cwd=ROOT, keep_open=[lock]
    )
    children.callback(processes.stop, server)
    if not processes.wait_until(
        lambda: answers(f"http://{bind}/api/health"), seconds=60, process=server
    ):
        raise StartError("the web server did not start; see above.")
    sealer = _start_sealer(environment, lock)
    # A lambda stops the sealer of that moment: it may have been started again.
    children.callback(lambda: processes.stop(sealer))
    _announce(bind, servers)
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = server.wait(CHECK_SECONDS)
            _say(f"The web server ended with {status}.")
            return status
        for name, child in servers.items():
            ended = child.process.poll() if child.process else None
            if ended is not None:
                _say(
                    f"The {name} process ended with {ended}; see {child.log}. Stopping …"
                )
                return 1
        if (ended := sealer.poll()) is not None:
            _say(f"The sealer ended with {ended}; starting it again.")
            sealer = _start_sealer(environment, lock)


def _start_sealer(environment: dict[str, str], lock: int) -> subprocess.Popen[bytes]:
    # A seal a minute, without events too: it proves that there were none.
    return processes.start(
        [sys.executable, "manage.py", "seal_audit", "--every", "60", "--verbosity=0"],
        environment=environment,
        cwd=ROOT,
        keep_open=[lock],
    )


def _environment() -> dict[str, str]:
    """Return the service's environment: what is set, else the embedded defaults."""
    kept = _kept_secrets()
    defaults = {
        "SECRET_KEY": kept["SECRET_KEY"],
        "STATIC_ROOT": str(LOCAL / "static"),
        "BIND": "127.0.0.1:4545",
        "STORE_PORT": "8333",
        "AUDIT_SIGNING_KEY": kept["AUDIT_SIGNING_KEY"],
        "AUDIT_PUBLIC_KEYS": kept.get("AUDIT_PUBLIC_KEYS", ""),
        "HTTPS_ONLY": "false",
        "LOG_FORMAT": "text",
        "WEB_CONCURRENCY": "2",
        "PYTHONUNBUFFERED": "1",
    }
    # To the service, an empty variable is one that is not set.
    given = {k: v for k, v in os.environ.items() if v.strip() or k not in defaults}
    environment = defaults | given
    if not environment["AUDIT_PUBLIC_KEYS"]:
        environment["AUDIT_PUBLIC_KEYS"] = _public_key(environment["AUDIT_SIGNING_KEY"])
    reached = environment["BIND"].replace("0.0.0.0", "127.0.0.1")  # noqa: S104 not bound
    environment.setdefault("CANARY_BASE_URL", f"http://{reached}")
    return environment


def _public_key(signing_key: str) -> str:
    """Return the entry of AUDIT_PUBLIC_KEYS; empty if settings will refuse the key."""
    try:
        seed = base64.b64decode(signing_key, validate=True)
        return SigningKey(seed).public_text()
    except ValueError:
        return ""


def manage(arguments: list[str]) -> NoReturn:
    """Become manage.py with database, bucket and keys of the running service."""
    try:
        environment = command_environment()
    except (StartError, OSError) as error:
        _say(f"sre/manage cannot run: {error}")
        sys.exit(2)
    command = [sys.executable, str(ROOT / "manage.py"), *arguments]
    os.execve(sys.executable, command, environment)  # noqa: S606 no shell is wanted


def command_environment() -> dict[str, str]:
    """Return the environment of the running ./sre/run; raises `StartError`."""
    lock = LOCAL / "lock"
    if not lock.exists() or not _is_locked(lock):
        raise StartError("./sre/run is not running; start it in another terminal.")
    if not RUNNING.exists():
        raise StartError("./sre/run is still starting; try again.")
    running: dict[str, str] = json.loads(RUNNING.read_text())
    os.environ.update(running)
    return _without_aws(_environment()) | running


def _without_aws(environment: dict[str, str]) -> dict[str, str]:
    return {k: v for k, v in environment.items() if not k.startswith("AWS_")}


def _is_given(name: str) -> bool:
    return bool(os.environ.get(name, "").strip())


def _kept_secrets() -> dict[str, str]:
    """Return this machine's generated secrets, made at the first start."""
    path = LOCAL / "secrets.json"
    try:
        kept: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    except ValueError as error:
        raise StartError(
            f"{path} is no JSON; put a copy of it back, or remove {LOCAL} with all"
            " that is kept there."
        ) from error
    made = {
        "SECRET_KEY": secrets.token_urlsafe(50),
        "DATABASE_PASSWORD": secrets.token_urlsafe(30),
        "STORE_ACCESS_KEY": secrets.token_hex(10),
        "STORE_SECRET_KEY": secrets.token_urlsafe(30),
        "AUDIT_SIGNING_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
    }
    if made.keys() - kept.keys():
        kept = made | kept
        _write_private(path, kept)
    return kept


def _write_private(path: Path, values: dict[str, str]) -> None:
    """Write a file that only this user can read, atomically."""
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    new.write_text(json.dumps(values, indent=1))
    new.replace(path)


def _postgres() -> Postgres:
    return Postgres(LOCAL / "postgres", _kept_secrets()["DATABASE_PASSWORD"])


def _store(environment: dict[str, str]) -> ObjectStore:
    port = environment["STORE_PORT"].strip()
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise StartError(f"STORE_PORT is {port!r}; set it to a port number.")
    kept = _kept_secrets()
    return ObjectStore(
        LOCAL / "store", int(port), kept["STORE_ACCESS_KEY"], kept["STORE_SECRET_KEY"]
    )


def _prepare(environment: dict[str, str]) -> None:
    """Prepare what the service needs; print the first admin's name and password.

    They are printed once, so they do not wait here for the web server, whose start may
    fail or be interrupted.
    """
    done = subprocess.run(
        [sys.executable, "-m", "sre.lib.prepare"],
        env=environment,
        cwd=ROOT,
        stdout=sys.stderr,
        check=False,
        start_new_session=True,  # Ctrl-C comes to us, and we end it
    )
    if done.returncode:
        raise StartError("the preparation failed; see above.")


def _lock(path: Path) -> int:
    """Lock a file; return the descriptor, which holds the lock until it is closed."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise StartError(
            "another ./sre/run of this folder is running; end it first."
        ) from error
    return descriptor


def _is_locked(path: Path) -> bool:
    try:
        os.close(_lock(path))
    except StartError:
        return True
    return False


def _children_lock() -> int:
    """Take the lock that all children inherit, so that no two runs use the same data.

    Children of an earlier run that was killed still hold it: they are ended first.
    """
    path = LOCAL / "children.lock"

    def is_free() -> bool:
        return not _is_locked(path)

    if not is_free():
        _say("Ending what an earlier ./sre/run left running …")
        # `_signal_holders` may not find PostgreSQL: in a container, even root may not list
        # the open files of another user's process.
        _postgres().stop_orphan()
        _signal_holders(path, signal.SIGTERM)
        if not processes.wait_until(is_free, seconds=ORPHAN_SECONDS):
            _signal_holders(path, signal.SIGKILL)
            if not processes.wait_until(is_free, seconds=5):
                raise StartError(
                    f"a process of an earlier ./sre/run still holds {path}; end it."
                )
    return _lock(path)


def _signal_holders(path: Path, number: int) -> None:
    """Send a signal to the processes that have a file open, not to their children."""
    found = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any(file.path == str(path) for file in process.open_files()):
                found[process] = process.ppid()
    pids = {process.pid for process in found}
    for process, parent in found.items():
        if parent not in pids:
            with contextlib.suppress(psutil.Error):
                process.send_signal(number)


def _announce(bind: str, servers: dict[str, Postgres | ObjectStore]) -> None:
    base = f"http://{bind}"
    lines = ["", f"mirrorsite   {base}/", f"admin        {base}/admin/"]
    if postgres := servers.get("PostgreSQL"):
        lines.append(f"PostgreSQL   127.0.0.1:{postgres.port}")
    if store := servers.get("S3 server"):
        lines.append(f"S3 server    {store.url}   bucket {BUCKET}")
    if servers:
        lines.append("             keys in .local/secrets.json")
    lines += [
        "",
        "Try:",
        f"  curl '{base}/api/mirror?word=fOoBar25'",
        f"  curl -X POST {base}/api/upload-random",
        "",
        "Ctrl-C stops everything.",
    ]
    _say("\n".join(lines))


def _raise_stop(number: int, frame: FrameType | None) -> None:
    raise _Stop


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(manage(sys.argv[1:]) if sys.argv[1:] else main())
