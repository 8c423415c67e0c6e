"""The embedded S3 server: SeaweedFS from its wheel, on loopback. Standard library only."""

from __future__ import annotations

import json
import subprocess
import sysconfig
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from sre.lib import processes
from sre.lib.ports import answers, free_ports, is_listening
from sre.lib.processes import StartError


@dataclass
class ObjectStore:
    """One SeaweedFS with its data under `directory`.

    `port` is the port of the S3 API; the server's inner ports are free ones, chosen at
    each start. Only the given key pair gets in. The descriptors in `keep_open` stay
    open in it.
    """

    directory: Path
    port: int
    access_key: str
    secret_key: str
    process: subprocess.Popen[bytes] | None = None
    keep_open: tuple[int, ...] = ()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.directory / "weed.log"

    def start(self) -> None:
        """Start and wait until S3 answers; raises `StartError`."""
        if is_listening(self.port):
            raise StartError(
                f"port {self.port} is taken; stop what listens there,"
                " or set STORE_PORT to a free one."
            )
        data = self.directory / "data"
        data.mkdir(parents=True, exist_ok=True)
        self.process = processes.start(
            self._command(data, self._write_identities()),
            log=self.log,
            keep_open=self.keep_open,
        )
        if not processes.wait_until(
            lambda: answers(f"{self.url}/status"), seconds=120, process=self.process
        ):
            self.stop()
            raise StartError(f"the S3 server did not start; see {self.log}.")

    def stop(self) -> None:
        if self.process is not None:
            processes.stop(self.process, seconds=20)
            self.process = None

    def kill(self) -> None:
        """End it as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def environment(self, bucket: str) -> dict[str, str]:
        """Return the variables that point mirrorsite, or the AWS CLI, here."""
        direct = _excepted_from_proxies()
        return {
            # Programs read the one or the other.
            "no_proxy": direct,
            "NO_PROXY": direct,
            "AWS_ENDPOINT_URL_S3": self.url,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_STORAGE_BUCKET_NAME": bucket,
        }

    def _write_identities(self) -> Path:
        path = self.directory / "identities.json"
        path.touch(mode=0o600)
        identity = {
            "name": "mirrorsite",
            "credentials": [
                {"accessKey": self.access_key, "secretKey": self.secret_key}
            ],
            "actions": ["Admin", "Read", "List", "Tagging", "Write"],
        }
        path.write_text(json.dumps({"identities": [identity]}))
        return path

    def _command(self, data: Path, identities: Path) -> list[str]:
        names = (
            "master.port",
            "master.port.grpc",
            "volume.port",
            "volume.port.grpc",
            "filer.port",
            "filer.port.grpc",
            "s3.port.grpc",
            # Not the default ports: the worker of another server on this machine may
            # connect there, which delays the shutdown by ten seconds.
            "admin.port",
            "admin.port.grpc",
        )
        # One more than needed: until S3 listens, its own port looks as free as any.
        free = [port for port in free_ports(len(names) + 1) if port != self.port]
        inner = dict(zip(names, free[: len(names)], strict=True))
        return [
            str(Path(sysconfig.get_path("scripts")) / "weed"),
            "-logtostderr=true",
            "mini",
            f"-dir={data}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            *(f"-{name}={port}" for name, port in inner.items()),
            "-master.telemetry=false",
            "-master.volumeSizeLimitMB=1024",
            # Its own limit, free disk divided by that size, is soon reached: each
            # bucket takes a volume, however little is in it.
            "-volume.max=1000",
            "-admin.ui=false",
            "-webdav=false",
            f"-s3.port={self.port}",
            f"-s3.config={identities}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-s3.autoCreateBucket=false",
        ]


def _excepted_from_proxies() -> str:
    """Return the hosts that are reached directly: those already set, and loopback."""
    already = urllib.request.getproxies_environment().get("no", "")
    return already if already == "*" else f"{already},127.0.0.1,localhost".strip(",")
