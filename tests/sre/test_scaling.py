"""sre/scaling's own arithmetic, and what docs/scaling.md takes from the code."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

import pytest

from sre.lib.scaling import _cpu, _numbers

ROOT = Path(__file__).resolve().parent.parent.parent


def test_numbers__sorted_and_once() -> None:
    assert _numbers("8,1,8") == [1, 8]


@pytest.mark.parametrize("text", ["0", "1,-2"])
def test_numbers__refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        _numbers(text)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads Linux's /proc")
def test_cpu__of_a_group_that_worked() -> None:
    group = os.getpgid(0)
    before = _cpu(group)
    count = 0
    while _cpu(group) == before:
        count += 1
        assert count < 1_000_000
    assert _cpu(group) > before


def test_limits__as_terraform_has_them() -> None:
    text = (ROOT / "docs" / "scaling.md").read_text()
    variables = (ROOT / "terraform/eks/app/variables.tf").read_text()
    workers, threads, pods = (
        int(re.findall(rf"{name}\s+= optional\(number, (\d+)\)", variables)[0])
        for name in ("web_concurrency", "web_threads", "max_replicas")
    )
    assert f"| {pods} (`autoscaling.max_replicas`), {workers} workers" in text
    # Two threads of each worker never wait for the store: uploads.api.slots.
    uploads = pods * workers * (threads - 2)
    assert (
        f"| {pods * workers * threads} requests at once, {uploads} of them uploads |"
        in text
    )
