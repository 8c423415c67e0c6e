"""Run the built image as production would, and end it.

Read-only root, numeric user, no capabilities, a real PostgreSQL and a real S3 server.
Started by sre/image --test with the container engine and the image's name.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from typing import Any, NamedTuple

from sre.lib import smoke
from sre.lib.ports import free_port
from sre.lib.stack import temporary_stack

BUCKET = "mirrorsite-image-test"
#: The container's ALLOWED_HOSTS; its own probe must use it too.
HOST = "mirror.example.org"
#: Half of the image is its base image; uvloop brings 16 MB, most of them symbols.
MAX_BYTES = 270_000_000
#: Low limits, since an engine that itself runs in a container cannot raise them. No
#: periodic health check: the test runs it itself.
OPTIONS = ("--ulimit=nofile=1024:1024", "--ulimit=nproc=4096:4096", "--no-healthcheck")


class ImageError(RuntimeError):
    """The image does not do what it must, or the engine's command failed."""


class Engine(NamedTuple):
    """podman or docker, and one image."""

    program: str
    image: str

    def call(self, *arguments: str, check: bool = True) -> str:
        done = subprocess.run(
            [self.program, *arguments], capture_output=True, text=True, check=False
        )
        if check and done.returncode:
            raise ImageError(
                f"{self.program} {' '.join(arguments[:2])} ended with"
                f" {done.returncode}: {done.stderr.strip()[-2000:]}"
            )
        return done.stdout.strip()

    def run(self, environment: dict[str, str], *command: str, name: str) -> str:
        """Run a command, as restricted as in a pod, and wait for it.

        Without a command, start the image's own in the background.
        """
        return self.call(
            "run",
            "--rm" if command else "--detach",
            f"--name={name}",
            "--network=host",
            "--read-only",
            *(("--read-only-tmpfs=false",) if self.program == "podman" else ()),
            "--tmpfs=/tmp:rw,size=64m,mode=1777",
            "--cap-drop=ALL",
            "--security-opt=no-new-privileges",
            *OPTIONS,
            *(f"--env={key}={value}" for key, value in environment.items()),
            self.image,
            *command,
        )

    def remove(self, name: str) -> None:
        """End and forget a container, whatever state it is in."""
        self.call("rm", "--force", "--volumes", name, check=False)


def expect(what: str, condition: object) -> None:
    """Print a check that passed, or raise for one that failed."""
    if not condition:
        raise ImageError(what)
    print(f"ok    {what}")


def image_facts(engine: Engine) -> tuple[dict[str, Any], list[str]]:
    """Return what the engine knows of the image, and its health check's command."""
    (facts,) = json.loads(engine.call("image", "inspect", engine.image))
    # podman and docker each keep the health check in a place of their own.
    kept = facts["Config"].get("Healthcheck") or facts.get("Healthcheck") or {}
    return facts, kept.get("Test", [])


def check_contents(engine: Engine) -> None:
    """Look at what the image declares and what lies in it."""
    facts, health = image_facts(engine)
    config = facts["Config"]
    environment = dict(entry.split("=", 1) for entry in config["Env"])
    expect("user is 10001:10001", config["User"] == "10001:10001")
    expect("listens on 0.0.0.0:4545", environment["BIND"] == "0.0.0.0:4545")
    expect("gunicorn is started in exec form", config["Cmd"][0] == "gunicorn")
    expect("has a health check in exec form", health[:1] == ["CMD"])
    version, revision = (
        config["Labels"].get(f"org.opencontainers.image.{name}", "")
        for name in ("version", "revision")
    )
    expect(f"labels: version {version}, revision {revision[:12]}", version and revision)
    expect(
        "no secret in the image's environment",
        not {"SECRET_KEY", "AWS_SECRET_ACCESS_KEY", "PIP_INDEX_URL"} & set(environment),
    )
    history = engine.call(
        "history", "--no-trunc", "--format={{.CreatedBy}}", engine.image
    )
    expect("no secret in its history", "SECRET_KEY" not in history)
    found = engine.call(
        "run", "--rm", "--network=none", *OPTIONS, engine.image, "sh", "-c",
        "command -v gcc cc make; ls -d /root/.cache /tmp/* /app/.local /app/.git /app/tests"
        " /venv/lib/python3*/site-packages/pip /etc/pip.conf 2>/dev/null;"
        " find /app /venv -writable -not -type l | head; true",
    )  # fmt: skip
    expect(
        f"no compiler, cache, tests or writable file inside: {found or 'none'}",
        not found,
    )
    size, limit = facts["Size"] / 1e6, MAX_BYTES / 1e6
    expect(f"{size:.0f} MB with its base image, at most {limit:.0f}", size < limit)


def check_running(engine: Engine) -> None:
    """Migrate, serve, smoke and end, on a read-only root."""
    name = f"mirrorsite-image-test-{secrets.token_hex(4)}"
    with temporary_stack() as stack:
        environment = {
            **stack.store.environment(BUCKET),
            "DATABASE_URL": stack.postgres.url,
            "SECRET_KEY": secrets.token_urlsafe(64),
            "ALLOWED_HOSTS": HOST,
            "HTTPS_ONLY": "false",
            "BIND": f"127.0.0.1:{free_port()}",
            "WEB_CONCURRENCY": "2",
        }
        for command in ("migrate", "ensure_bucket", "backup_database"):
            engine.run(environment, "python", "manage.py", command, name=f"{name}-job")
            expect(f"manage.py {command} runs in the image", True)
        engine.run(environment, name=name)
        try:
            serve(engine, name, f"http://{environment['BIND']}")
        except BaseException:
            print(engine.call("logs", "--tail=40", name, check=False))
            raise
        finally:
            engine.remove(name)


def serve(engine: Engine, name: str, url: str) -> None:
    """Check the running container and end it."""
    status = smoke.main(["--host", HOST, "--wait", "120", url])
    expect("smoke is green", status == 0)
    who = engine.call("exec", name, "sh", "-c", 'echo "$(id -u):$(id -g)"')
    expect(f"runs as {who}", who == "10001:10001")
    written = engine.call(
        "exec", name, "sh", "-c", "touch /app/x || touch /x || touch /venv/x; echo end",
        check=False,
    )  # fmt: skip
    expect("its root cannot be written", written == "end")
    _, (_, *health_command) = image_facts(engine)  # less the word CMD
    engine.call("exec", name, *health_command)
    expect("its health check passes", True)
    # gunicorn is the container's first process: a shell would not pass the signal on.
    engine.call("kill", "--signal=TERM", name)
    expect("SIGTERM ends it with 0", engine.call("wait", name) == "0")


def main(arguments: list[str]) -> int:
    engine = Engine(*arguments)
    try:
        check_contents(engine)
        check_running(engine)
    except ImageError as error:
        print(f"FAIL  {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
