"""compose.yaml, as far as it can be run without a container engine."""

from __future__ import annotations

import os
import re
import sys
import sysconfig
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
from tests.support import ROOT, run_program

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


class TestServices:
    def test_ports__this_machine_only(self):
        ports = [port for it in SERVICES.values() for port in it.get("ports", [])]
        assert ports == ["127.0.0.1:8333:8333", "127.0.0.1:4545:4545"]

    def test_our_containers__read_only_and_unprivileged(self):
        for name in ("migrate", "bucket", "web", "sealer"):
            service = SERVICES[name]
            assert service["read_only"] is True
            assert service["cap_drop"] == ["ALL"]
            assert service["security_opt"] == ["no-new-privileges:true"]

    def test_stop__after_the_last_request(self):
        graceful = VARIABLES["GRACEFUL_TIMEOUT_SECONDS"].default
        allowed = SERVICES["web"]["stop_grace_period"].removesuffix("s")
        assert int(allowed) >= int(graceful or 0) + 10

    @pytest.mark.parametrize("name", ["web", "sealer"])
    def test_environment__settings_accept_it(self, name):
        environment = {
            # The value that holds where the caller's environment has none.
            variable: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)
            for variable, value in SERVICES[name]["environment"].items()
        }
        done = run_program(
            [sys.executable, "manage.py", "check"],
            env={
                "PATH": os.environ["PATH"],
                "STATIC_ROOT": str(ROOT / ".local" / "static"),
                **environment,
            },
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.integration
def test_object_store__takes_the_key_of_the_service_alone(tmp_path):
    """Run the store by the command of compose.yaml, on other ports."""
    names = ("master.port", "volume.port", "filer.port", "admin.port")
    inner = [*names, *(f"{name}.grpc" for name in names), "s3.port.grpc"]
    port, *inner_ports = free_ports(1 + len(inner))
    service = SERVICES["object-store"]
    replaced = {
        "-dir=/data": f"-dir={tmp_path}",
        "-ip.bind=0.0.0.0": "-ip.bind=127.0.0.1",
        "-s3.port=8333": f"-s3.port={port}",
    }
    assert set(replaced) <= set(service["command"])
    process = processes.start(
        [
            str(Path(sysconfig.get_path("scripts")) / "weed"),
            *(replaced.get(word, word) for word in service["command"]),
            "-ip=127.0.0.1",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            f"-filer.localSocket={tmp_path / 'filer.sock'}",
            *(f"-{name}={it}" for name, it in zip(inner, inner_ports, strict=True)),
        ],
        environment={"PATH": os.environ["PATH"], **service["environment"]},
        log=tmp_path / "weed.log",
    )
    url = f"http://127.0.0.1:{port}"
    given = SERVICES["web"]["environment"]

    def client(secret: str) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id=given["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=secret,
            config=Config(s3={"addressing_style": "path"}),
        )

    try:
        assert processes.wait_until(
            lambda: answers(f"{url}/status"), seconds=60, process=process
        ), (tmp_path / "weed.log").read_text()[-3000:]
        own = client(given["AWS_SECRET_ACCESS_KEY"])
        own.create_bucket(Bucket="mirrorsite-uploads")
        own.put_object(Bucket="mirrorsite-uploads", Key="a", Body=b"{}")
        with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
            client("another-secret").list_buckets()
    finally:
        processes.stop(process)
