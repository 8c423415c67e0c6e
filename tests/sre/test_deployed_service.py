"""What Terraform deploys, held against the service itself."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from http.cookies import SimpleCookie
from io import StringIO
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.contrib.auth.models import User
from django.core.management import call_command

from sre.lib import smoke
from sre.lib.service import Service
from tests.support import ROOT
from uploads.canary import Canary

TERRAFORM = ROOT / "terraform"
MODULE = TERRAFORM / "modules" / "k8s" / "deployment"
#: Nothing listens there.
NOWHERE = "127.0.0.1:9"


class Answer(NamedTuple):
    """One response, read to its end."""

    status: int
    headers: http.client.HTTPMessage
    text: str


def ask(
    service: Service,
    method: str,
    path: str,
    headers: dict[str, str],
    body: str | None = None,
) -> Answer:
    connection = http.client.HTTPConnection(urlsplit(service.url).netloc, timeout=30)
    connection.request(method, path, body=body, headers=headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return Answer(answer.status, answer.headers, text)


@pytest.mark.service
class TestProbes:
    """A pod stays in the load balancer when what it shares with others is down."""

    PATHS = re.findall(
        r'httpGet = \{ path = "([^"]+)"', (MODULE / "pods.tf").read_text()
    )

    @pytest.mark.parametrize(
        "missing",
        [
            {"AWS_ENDPOINT_URL_S3": f"http://{NOWHERE}"},
            {"DATABASE_URL": f"postgresql://nobody:nothing@{NOWHERE}/nothing"},
        ],
        ids=["store", "database"],
    )
    def test_dependency_down__pod_ready_and_ready_says_so(
        self, start_service: Callable[..., Service], missing: dict[str, str]
    ) -> None:
        assert len(self.PATHS) == 1  # what all three probes are made of
        service = start_service(ALLOWED_HOSTS="127.0.0.1,mirrorsite", **missing)
        host = {"Host": "mirrorsite"}
        assert ask(service, "GET", self.PATHS[0], host).status == 200
        assert ask(service, "GET", "/api/mirror?word=a", host).status == 200
        assert ask(service, "GET", "/api/ready", host).status == 503


def settings_of(environment: str) -> dict[str, str]:
    """Return the settings that an environment's values give the service."""
    if environment == "minikube":
        values = json.loads((TERRAFORM / "vars" / "infr.tfvars.json").read_text())
        found: dict[str, str] = values["settings"]
        return found
    text = (TERRAFORM / "eks" / "app" / "main.tf").read_text()
    block = text.split("settings = merge(")[1].split("\n  })")[0]
    values = json.loads(
        (TERRAFORM / f"eks/app/vars/{environment}.tfvars.json").read_text()
    )
    pairs = dict(
        re.findall(r'(\w+) += "([^"]+)"', block.replace("${var.host}", "HOST"))
    )
    pairs["ALLOWED_HOSTS"] = "127.0.0.1,HOST"
    return {name: text.replace("HOST", values["host"]) for name, text in pairs.items()}


@pytest.mark.service
@pytest.mark.parametrize("environment", ["minikube", "production"])
def test_smoke_and_canary__by_a_token_of_their_own(
    start_service: Callable[..., Service],
    environment: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whether uploading asks for a token or not."""
    settings = settings_of(environment)
    service = start_service(**settings)

    def issued(name: str) -> str:
        out = StringIO()
        call_command("issue_token", name, stdout=out)
        return out.getvalue().strip()

    monkeypatch.setenv("SMOKE_TOKEN", issued("smoke"))
    assert smoke.main(["--behind-tls", service.url]) == 0, capsys.readouterr().out
    behind_tls = settings["HTTPS_ONLY"] == "true"
    canary = Canary(service.url, token=issued("canary"), behind_tls=behind_tls)
    steps = {step.name: (step.outcome, step.note) for step in canary.steps()}
    assert {outcome for outcome, _ in steps.values()} == {"ok"}, steps
    if settings["UPLOAD_AUTH"] == "token":
        monkeypatch.delenv("SMOKE_TOKEN")
        assert smoke.main(["--behind-tls", service.url]) == 1


@pytest.mark.service
class TestEks:
    """Staff log in through the load balancer that ends TLS."""

    def test_login(self, start_service: Callable[..., Service], tmp_path: Path) -> None:
        static = {"STATIC_ROOT": str(tmp_path / "collected")}
        subprocess.run(
            [sys.executable, "manage.py", "collectstatic", "--no-input"],
            cwd=ROOT,
            env=os.environ
            | static
            | {"DJANGO_SETTINGS_MODULE": "mirrorsite.settings", "SECRET_KEY": "k" * 50}
            | {"AWS_STORAGE_BUCKET_NAME": "unused"},
            capture_output=True,
            check=True,
        )
        hasher = PBKDF2PasswordHasher()  # the tests' own is not the service's
        user = User(username="root", is_staff=True, is_superuser=True)
        user.password = hasher.encode("a long passphrase", hasher.salt())
        user.save()
        settings = settings_of("production")
        assert settings["UPLOAD_AUTH"] == "token"
        host = settings["ALLOWED_HOSTS"].split(",")[1]
        service = start_service(**settings | static)
        # As the load balancer sends it.
        proxied = {
            "Host": host,
            "X-Forwarded-Proto": "https",
            "X-Forwarded-For": "192.0.2.7",
        }
        page = ask(service, "GET", "/admin/login/", proxied)
        assert page.status == 200
        assert int(re.findall(r"\d+", page.headers["Strict-Transport-Security"])[0]) > 0
        cookies = SimpleCookie(page.headers["Set-Cookie"])
        (token,) = cookies.values()
        assert token["secure"]
        form = {
            "csrfmiddlewaretoken": token.value,
            "username": "root",
            "password": "a long passphrase",
        }
        answer = ask(
            service,
            "POST",
            "/admin/login/?next=/admin/",
            proxied
            | {
                "Origin": f"https://{host}",
                "Cookie": f"{token.key}={token.value}",
                "Content-Type": "application/x-www-form-urlencoded",
            },
            urlencode(form),
        )
        assert answer.status == 302, answer.text
        assert answer.headers["Location"] == "/admin/"
        # A request that came without TLS is sent there.
        plain = ask(service, "GET", "/admin/login/", {"Host": host})
        assert plain.headers["Location"] == f"https://{host}/admin/login/"
