"""Where a worker's time goes under load: py-spy's flame graph."""

from __future__ import annotations

import subprocess

from sre.benchmarks import wrk
from sre.benchmarks.bench import Bench, say
from sre.benchmarks.contenders import PEERS_PYTHON
from sre.benchmarks.report import Report
from sre.lib import processes
from sre.lib.service import ROOT


def profile(bench: Bench) -> Report:
    """Sample the workers while wrk uploads; write reports/profile.svg."""
    target = ROOT / "reports" / "profile.svg"
    target.parent.mkdir(exist_ok=True)
    with bench.stack.service(bench.environment("profile")) as service:
        url = f"{service.url}/api/upload-random"
        load = processes.start(
            wrk.command(
                url, method="POST", clients=bench.clients, seconds=bench.seconds + 60
            ),
            log=bench.stack.directory / "wrk.log",
        )
        try:
            say(f"sampling for {bench.seconds:g} s")
            subprocess.run(
                [
                    PEERS_PYTHON.with_name("py-spy"), "record", "--format=flamegraph",
                    f"--duration={bench.seconds:.0f}", "--rate=250",
                    f"--output={target}", "--subprocesses", f"--pid={service.pid}",
                ],
                stdout=subprocess.DEVNULL,
                check=True,
            )  # fmt: skip
        finally:
            processes.stop(load)
    return Report(
        [], notes=[f"Written: {target.relative_to(ROOT)}; open it in a browser."]
    )
