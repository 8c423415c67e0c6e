"""compose.yaml, as far as it can be run without a container engine."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore.config import Config
from botocore.exceptions import ClientError

from mirrorsite.environment import VARIABLES
from sre.lib import processes
from sre.lib.ports import answers, free_ports

ROOT = Path(__file__).resolve().parent.parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def plain(environment: dict[str, str]) -> dict[str, str]:
    """Return the values that hold when the caller's environment sets none."""
    return {
        name: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)
        for name, value in environment.items()
    }


class TestServices:
    def test_ports__this_machine_only(self) -> None:
        ports = [
            port for service in SERVICES.values() for port in service.get("ports", [])
        ]
        assert ports == ["127.0.0.1:8333:8333", "127.0.0.1:4545:4545"]

    def test_our_containers__read_only_and_unprivileged(self) -> None:
        for name in ("migrate", "bucket", "web", "sealer"):
            service = SERVICES[name]
            assert service["read_only"] is True
            assert service["cap_drop"] == ["ALL"]
            assert service["security_opt"] == ["no-new-privileges:true"]

    def test_stop__after_the_last_request(self) -> None:
        graceful = VARIABLES["GRACEFUL_TIMEOUT_SECONDS"].default
        allowed = SERVICES["web"]["stop_grace_period"].removesuffix("s")
        assert int(allowed) >= int(graceful or 0) + 10

    @pytest.mark.parametrize("name", ["migrate", "web", "sealer"])
    def test_environment__settings_accept_it(self, name: str) -> None:
        done = subprocess.run(
            [sys.executable, "manage.py", "check"],
            env={
                "PATH": os.environ["PATH"],
                "STATIC_ROOT": str(ROOT / ".local" / "static"),
                **plain(SERVICES[name]["environment"]),
            },
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the store by the command of compose.yaml, on other ports."""
    directory = tmp_path_factory.mktemp("compose")
    names = ("master.port", "volume.port", "filer.port", "admin.port")
    inner = [*names, *(f"{name}.grpc" for name in names), "s3.port.grpc"]
    # All at once: asked for one by one, two may be the same.
    port, *inner_ports = free_ports(1 + len(inner))
    service = SERVICES["object-store"]
    replaced = {
        "-dir=/data": f"-dir={directory}",
        "-ip.bind=0.0.0.0": "-ip.bind=127.0.0.1",
        "-s3.port=8333": f"-s3.port={port}",
    }
    arguments = [replaced.get(word, word) for word in service["command"]]
    assert set(replaced) <= set(service["command"])
    process = processes.start(
        [
            str(Path(sysconfig.get_path("scripts")) / "weed"),
            *arguments,
            "-ip=127.0.0.1",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            f"-filer.localSocket={directory / 'filer.sock'}",
            *(f"-{name}={it}" for name, it in zip(inner, inner_ports, strict=True)),
        ],
        environment={"PATH": os.environ["PATH"], **service["environment"]},
        log=directory / "weed.log",
    )
    url = f"http://127.0.0.1:{port}"

    try:
        assert processes.wait_until(
            lambda: answers(f"{url}/status"), seconds=60, process=process
        ), (directory / "weed.log").read_text()[-3000:]
        yield url
    finally:
        processes.stop(process)


@pytest.mark.integration
class TestObjectStore:
    def client(self, endpoint: str, secret: str) -> Any:
        environment = SERVICES["web"]["environment"]
        return boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=secret,
            config=Config(s3={"addressing_style": "path"}),
        )

    def test_object_store__takes_the_key_of_the_service(self, endpoint: str) -> None:
        secret = SERVICES["web"]["environment"]["AWS_SECRET_ACCESS_KEY"]
        client = self.client(endpoint, secret)
        client.create_bucket(Bucket="mirrorsite-uploads")
        client.put_object(Bucket="mirrorsite-uploads", Key="a", Body=json.dumps({}))
        assert client.list_objects_v2(Bucket="mirrorsite-uploads")["KeyCount"] == 1

    def test_object_store__refuses_another(self, endpoint: str) -> None:
        with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
            self.client(endpoint, "another-secret").list_buckets()
