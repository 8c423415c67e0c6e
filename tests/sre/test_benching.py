"""The pure parts of ./sre/bench and ./sre/profile; the rest is measured, not tested."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from sre.lib.benching import layers, table
from sre.lib.benching.load import Measurement
from sre.lib.benching.marks import write_between
from sre.lib.benching.servers import World
from sre.lib.object_store import ObjectStore
from sre.lib.postgres import temporary_postgres


def measured(rate: float, *, errors: int = 0, memory: float = 100) -> Measurement:
    return Measurement(
        rate=rate, p50=1, p99=2, cpu=0.5, memory_mib=memory, errors=errors
    )


RESULTS = {
    "upload": {
        "ours": [measured(100), measured(300), measured(200)],
        "theirs": [measured(50), measured(100), measured(200)],
        "broken": [measured(900), measured(900, errors=2), measured(900)],
        "raw": [measured(400, memory=0)] * 3,
    }
}


class TestTable:
    def test_summary(self) -> None:
        found = table.summary(RESULTS)["upload"]["ours"]
        assert found["rate"] == {"median": 200, "least": 100, "most": 300}
        assert found["errors"] == 0

    def test_markdown__errors_disqualify(self) -> None:
        lines = table.markdown(RESULTS).splitlines()
        assert lines[2] == "| ours | 200 (100–300) | 1.0 | 2.0 | 0.50 | 100 | 0 |"
        assert lines[4] == "| broken | disqualified |  |  |  |  | 2 |"
        assert lines[5] == "| raw | 400 (400–400) | 1.0 | 2.0 |  |  | 0 |"
        assert len({line.count("|") for line in lines}) == 1

    def test_ratio__of_the_same_round(self) -> None:
        assert table.ratio(RESULTS, "upload", "ours", "theirs") == 2
        assert table.ratio(RESULTS, "upload", "ours", "broken") is None
        assert table.ratio(RESULTS, "upload", "ours", "absent") is None

    def test_budgets(self) -> None:
        rules = [
            ("upload", "ours", "theirs", 2.0),
            ("upload", "ours", "raw", 0.9),
            ("upload", "ours", "absent", 1.0),
        ]
        lines = table.budgets(RESULTS, rules).splitlines()[2:]
        assert lines == [
            "| upload: ours / theirs | 2.00 × | 2.00 × | met |",
            "| upload: ours / raw | 0.90 × | 0.50 × | NOT MET |",
            "| upload: ours / absent | 1.00 × | not measured |  |",
        ]


SAMPLES = """\
run (gunicorn/app/base.py:1);handle (mirrorsite/http_protocol.py:5);save (django/db/models/base.py:7) 6
run (gunicorn/app/base.py:1);put (uploads/storage/signed_puts.py:9);loads (json/__init__.py:3) 3
run (threading.py:1);_work (mirrorsite/thread_pool.py:41) 500
run (asyncio/runners.py:118) 300
run (threading.py:1);worker (prometheus_client/exposition.py:2);wait (threading.py:327) 700
run (threading.py:1) 1
"""


class TestLayers:
    def test_shares__of_busy_time_by_the_innermost_layer(self) -> None:
        assert layers.shares(layers.read(SAMPLES.splitlines())) == [
            ("database", 0.6),
            ("object store", 0.3),
            (layers.OTHER, 0.1),
        ]

    def test_costliest(self) -> None:
        assert layers.costliest(layers.read(SAMPLES.splitlines()), 2) == [
            ("save (django/db/models/base.py)", 0.6),
            ("loads (json/__init__.py)", 0.3),
        ]

    def test_nothing_seen(self) -> None:
        assert layers.shares([]) == []

    def test_svg__is_a_picture(self) -> None:
        drawn = layers.svg("A title", [("database", 0.6), ("object store", 0.4)])
        root = ET.fromstring(drawn)  # noqa: S314 our own
        texts = [element.text for element in root.iter() if element.text]
        assert {"A title", "database", "60 %", "40 %"} <= set(texts)


class TestMarks:
    def test_write_between(self, tmp_path: Path) -> None:
        path = tmp_path / "document"
        path.write_text("a\n<!-- x begins -->\nold\n<!-- x ends -->\nb\n")
        write_between(path, "x", "new")
        write_between(path, "x", "newer")
        assert path.read_text() == ("a\n<!-- x begins -->\nnewer\n<!-- x ends -->\nb\n")

    def test_no_marks__nothing_changed(self, tmp_path: Path) -> None:
        path = tmp_path / "document"
        path.write_text("a\n<!-- x begins -->\n")
        with pytest.raises(ValueError, match="has no lines"):
            write_between(path, "x", "new")
        assert path.read_text() == "a\n<!-- x begins -->\n"


class TestVerify:
    @pytest.mark.service
    def test_this_service_passes__and_a_liar_does_not(
        self, object_store: ObjectStore, tmp_path: Path
    ) -> None:
        """A contender's figures count only when its answers are true."""
        from sre.lib.benching import servers

        with temporary_postgres(fsync=False) as url:
            world = World(
                store=object_store,
                directory=tmp_path,
                postgresql=url,
                workers=1,
                threads=4,
            )
            with world.mirrorsite("ours") as running:
                world.verify(running)
                world.bucket = world.new_bucket()  # not the one it puts objects into
                with pytest.raises(servers.WrongAnswerError, match="left 0 objects"):
                    world.verify(running)
