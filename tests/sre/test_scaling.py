"""sre/scaling's own arithmetic, and what docs/scaling.md takes from the code."""

from __future__ import annotations

import argparse
import os
import re
from decimal import ROUND_HALF_UP, Decimal
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


def _default(name: str) -> int:
    """Return a default of terraform/eks/app."""
    variables = (ROOT / "terraform/eks/app/variables.tf").read_text()
    return int(re.findall(rf'{name}\s+= optional\(\w+, "?(\d+)', variables)[0])


def _processes() -> tuple[int, int]:
    """Return workers and threads of a pod."""
    module = ROOT / "terraform/modules/k8s/deployment/configuration.tf"
    workers, threads = (
        int(re.findall(rf'{name}\s+= "(\d+)"', module.read_text())[0])
        for name in ("WEB_CONCURRENCY", "WEB_THREADS")
    )
    return workers, threads


def test_limits__as_terraform_has_them() -> None:
    text = (ROOT / "docs" / "scaling.md").read_text()
    workers, threads = _processes()
    pods = _default("max_replicas")
    assert f"| {pods} (`autoscaling.max_replicas`), {workers} workers" in text
    # Two threads of each worker never wait for the store: uploads.bulkhead.
    uploads = pods * workers * (threads - 2)
    assert (
        f"| {pods * workers * threads} requests at once, {uploads} of them uploads |"
        in text
    )


def test_autoscaler__sees_a_pod_that_waits_for_the_store() -> None:
    """It goes by processor, and uploads wait for something else."""
    request, percent = _default("cpu_request"), _default("target_percent")
    workers, threads = _processes()
    rate = request * percent / 100 / 2.3
    milliseconds = workers * (threads - 2) / rate * 1000
    text = (ROOT / "docs" / "scaling.md").read_text()
    assert f"{percent} % of {request}m of processor: {rate:.0f} uploads/s" in text
    assert f"when the store needs {milliseconds:.0f} ms for one" in text


def _tables(heading: str) -> list[list[list[str]]]:
    """Return the tables of a section of docs/scaling.md, without their heads."""
    text = (ROOT / "docs" / "scaling.md").read_text()
    section = text.split(f"## {heading}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE)
    return [
        [[cell.strip() for cell in row.strip("|\n").split("|")] for row in rows]
        for block in blocks
        if (rows := block.splitlines()[2:])
    ]


def _dollars(text: str) -> Decimal:
    found = re.fullmatch(r"\$([\d.]+)(?: per ([\d,]+))?", text)
    assert found, text
    return Decimal(found[1]) / int((found[2] or "1").replace(",", ""))


def _cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"), ROUND_HALF_UP)


class TestCost:
    TABLES = _tables("Cost of one million uploads")

    @pytest.mark.parametrize("table", TABLES[:2], ids=["added", "standing"])
    def test_follows_from_quantities_and_prices(self, table: list[list[str]]) -> None:
        *parts, total = table
        for name, quantity, price, cost in parts:
            reckoned = Decimal(quantity.replace(",", "")) * _dollars(price)
            assert (name, _cents(reckoned)) == (name, _dollars(cost))
        assert sum(_dollars(part[-1]) for part in parts) == _dollars(total[-1])

    def test_of_a_million(self) -> None:
        added, standing = (_dollars(table[-1][-1]) for table in self.TABLES[:2])
        for load, cost in self.TABLES[2]:
            times = int(load.split("×")[0])
            assert _cents(standing / times + added) == _dollars(cost)

    def test_every_price_says_its_date(self) -> None:
        for price, source, date in self.TABLES[3]:
            assert "](https://" in source, price
            assert re.search(r"\b20\d\d\b", date), price

    def test_is_of_what_production_has(self) -> None:
        values = (ROOT / "terraform/eks/data/vars/production.tfvars.json").read_text()
        (database,) = re.findall(r'"instance_class": "(.*)"', values)
        assert any(f"database {database}," in part[0] for part in self.TABLES[1])


def test_rate__the_same_at_a_million_rows() -> None:
    """What "Why no partition" rests on, from the measured table."""
    rates = {
        (int(rows.replace(",", "")), workers, clients): float(rate)
        for rows, workers, clients, rate, *_ in _tables("One upload")[1]
    }
    ratios = [
        rates[1_000_000, workers, clients] / rate
        for (rows, workers, clients), rate in rates.items()
        if rows == 1_000
    ]
    assert len(ratios) == 6
    mean = sum(ratios) / len(ratios)
    assert mean > 0.9
    told = " ".join((ROOT / "docs" / "scaling.md").read_text().split())
    assert (
        f"{mean:.2f} times that at 1,000, on average of the six pairs above,"
        f" from {min(ratios):.2f} to {max(ratios):.2f}"
    ) in told


def test_jobs__reckoned_from_the_measured_rates() -> None:
    """How long a run takes of what is recent; the table of what breaks first."""
    day = 1_000_000 / 30
    for load, reconciling, verifying, purging in _tables(
        "What breaks first, and what is done"
    )[0]:
        times = int(load.replace(",", "").rstrip("×"))
        seconds = (
            1.5 * day * times / 20_900,
            # Seals' copies at the store's pace, and their events.
            2 * 1440 * 0.04 + 2 * 2.05 * day * times / 22_669,
            day * times * 0.015,
        )
        for told, reckoned in zip(
            (reconciling, verifying, purging), seconds, strict=True
        ):
            number, unit = told.split()
            in_seconds = float(number) * {"s": 1, "min": 60, "h": 3600}[unit]
            assert in_seconds == pytest.approx(reckoned, rel=0.2), (load, told)


def test_jobs__deadlines_as_the_limits_say() -> None:
    text = (ROOT / "terraform/modules/k8s/deployment/pods.tf").read_text()
    deadlines = dict(
        re.findall(r"([a-z-]+) = \{\n(?:.*\n){2,3}?\s+deadline = (\d+)", text)
    )
    assert {name: int(deadlines[name]) / 3600 for name in deadlines} == {
        "backup-database": 6,
        "reconcile-uploads": 1,
        "reconcile-all-uploads": 24,
        "purge-uploads": 6,
        "verify-audit": 4,
        "verify-whole-audit": 48,
        "canary": pytest.approx(300 / 3600),
    }
