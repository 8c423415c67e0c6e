"""What Terraform deploys, held against the service itself."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from http.client import HTTPConnection, HTTPMessage
from http.cookies import SimpleCookie
from io import StringIO
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
#: Nothing listens there.
NOWHERE = "127.0.0.1:9"

pytestmark = pytest.mark.service


class Answer(NamedTuple):
    """One response, read to its end."""

    status: int
    headers: HTTPMessage
    text: str


def ask(
    service: Service,
    method: str,
    path: str,
    headers: dict[str, str],
    body: str | None = None,
) -> Answer:
    connection = HTTPConnection(urlsplit(service.url).netloc, timeout=30)
    connection.request(method, path, body=body, headers=headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return Answer(answer.status, answer.headers, text)


def test_dependencies_down__pod_ready_and_smoke_says_what(start_service, capsys):
    """A pod stays in the load balancer when what it shares with others is down."""
    pods = (TERRAFORM / "modules/k8s/deployment/pods.tf").read_text()
    (path,) = re.findall(r'httpGet = \{ path = "([^"]+)"', pods)
    service = start_service(
        ALLOWED_HOSTS="127.0.0.1,mirrorsite",
        AWS_ENDPOINT_URL_S3=f"http://{NOWHERE}",
        DATABASE_URL=f"postgresql://nobody:nothing@{NOWHERE}/nothing",
    )
    host = {"Host": "mirrorsite"}
    assert ask(service, "GET", path, host).status == 200
    assert ask(service, "GET", "/api/mirror?word=a", host).status == 200
    assert ask(service, "GET", "/api/ready", host).status == 503
    assert smoke.main(["--no-upload", service.url]) == 1
    (failed,) = re.findall("FAIL  .*", capsys.readouterr().out)
    assert re.search(r"ready.* failed checks: \{.*'bucket': '[^']+'", failed), failed
    assert smoke.main(["--no-upload", "--host", "stranger", service.url]) == 1
    assert "FAIL  health answers ok: status: 400" in capsys.readouterr().out


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


def issued(name: str) -> str:
    out = StringIO()
    call_command("issue_token", name, stdout=out)
    return out.getvalue().strip()


def may_smoke_and_canary(
    service: Service, settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMOKE_TOKEN", issued("smoke"))
    assert smoke.main(["--behind-tls", service.url]) == 0
    behind_tls = settings["HTTPS_ONLY"] == "true"
    canary = Canary(service.url, token=issued("canary"), behind_tls=behind_tls)
    steps = {step.name: (step.outcome, step.note) for step in canary.steps()}
    assert {outcome for outcome, _ in steps.values()} == {"ok"}, steps


def test_minikube(start_service, monkeypatch):
    settings = settings_of("minikube")
    may_smoke_and_canary(start_service(**settings), settings, monkeypatch)


def test_eks__uploads_by_token_and_staff_log_in_behind_tls(
    start_service, tmp_path, monkeypatch
):
    settings = settings_of("production")
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
    service = start_service(**settings | static)
    may_smoke_and_canary(service, settings, monkeypatch)
    assert settings["UPLOAD_AUTH"] == "token"
    monkeypatch.delenv("SMOKE_TOKEN")
    assert smoke.main(["--behind-tls", service.url]) == 1

    host = settings["ALLOWED_HOSTS"].split(",")[1]
    # As the load balancer sends it.
    proxied = {
        "Host": host,
        "X-Forwarded-Proto": "https",
        "X-Forwarded-For": "192.0.2.7",
    }
    page = ask(service, "GET", "/admin/login/", proxied)
    assert page.status == 200
    assert int(re.findall(r"\d+", page.headers["Strict-Transport-Security"])[0]) > 0
    (token,) = SimpleCookie(page.headers["Set-Cookie"]).values()
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
