"""The pure parts of the stand-in for Terraform providers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from sre.lib import terraform_standin as standin

UNKNOWN = object()
INNER: dict[str, Any] = {
    "attributes": {"name": {"required": True, "type": "string"}},
    "block_types": {},
}
BLOCK: dict[str, Any] = {
    "attributes": {
        "id": {"computed": True, "optional": True, "type": "string"},
        "data_wo": {"optional": True, "write_only": True, "type": ["map", "string"]},
        "image": {"optional": True, "type": "string"},
        "set": {"optional": True, "nested": INNER, "nesting": "list"},
    },
    "block_types": {
        "metadata": {"nesting": "list", "min_items": 1, "max_items": 1, "block": INNER},
        "timeouts": {
            "nesting": "single",
            "min_items": 0,
            "max_items": 0,
            "block": INNER,
        },
    },
}


class TestTypeOfBlock:
    def test_spells_nested_types(self) -> None:
        inner = ["object", {"name": "string"}]
        assert standin.type_of_block(BLOCK) == [
            "object",
            {
                "id": "string",
                "data_wo": ["map", "string"],
                "image": "string",
                "set": ["list", inner],
                "metadata": ["list", inner],
                "timeouts": inner,
            },
        ]


class TestPlanBlock:
    def test_a_destroyed_resource_is_nothing(self) -> None:
        assert standin.plan_block(BLOCK, None, UNKNOWN) is None

    def test_computed_values_are_unknown_and_write_only_ones_dropped(self) -> None:
        proposed = {
            "id": None,
            "data_wo": {"A": "secret"},
            "image": None,
            "set": [{"name": "a"}],
            "metadata": [{"name": "b"}],
            "timeouts": None,
        }
        assert standin.plan_block(BLOCK, proposed, UNKNOWN) == {
            "id": UNKNOWN,
            "data_wo": None,
            "image": None,
            "set": [{"name": "a"}],
            "metadata": [{"name": "b"}],
            "timeouts": None,
        }

    def test_keeps_what_was_known_before(self) -> None:
        assert (standin.plan_block(BLOCK, {"id": "x"}, UNKNOWN) or {})["id"] == "x"

    def test_an_unknown_list_of_blocks_stays_unknown(self) -> None:
        planned = standin.plan_block(BLOCK, {"metadata": UNKNOWN}, UNKNOWN)
        assert planned is not None
        assert planned["metadata"] is UNKNOWN


class TestFillIn:
    def test_invents_what_is_unknown_and_nothing_else(self) -> None:
        kind = [
            "object",
            {
                "id": "string",
                "count": "number",
                "on": "bool",
                "tags": ["map", "string"],
                "status": ["list", ["object", {"ip": "string"}]],
                "rules": ["list", ["object", {"id": "string"}]],
                "nothing": "string",
            },
        ]
        planned = {
            "id": UNKNOWN,
            "count": UNKNOWN,
            "on": UNKNOWN,
            "tags": UNKNOWN,
            "status": UNKNOWN,
            "rules": [{"id": UNKNOWN}, {"id": "kept"}],
            "nothing": None,
        }
        assert standin.fill_in(
            kind, planned, lambda value: value is UNKNOWN, "thing"
        ) == {
            "id": "standin-thing-id",
            "count": 1,
            "on": False,
            "tags": {},
            "status": [],
            "rules": [{"id": "standin-thing-rules-id"}, {"id": "kept"}],
            "nothing": None,
        }


class TestInstall:
    def test_writes_what_terraform_looks_for(self, tmp_path: Path) -> None:
        schema = tmp_path / "schema.json"
        schema.write_text(json.dumps({"version": "3.4.0"}))
        executable = standin.install(
            schema, tmp_path / "mirror", "kubernetes", Path("/a python"), "linux_amd64"
        )
        assert executable.name == "terraform-provider-kubernetes_v3.4.0"
        assert executable.parent == (
            tmp_path / "mirror" / standin.HOST / "kubernetes" / "3.4.0" / "linux_amd64"
        )
        assert os.access(executable, os.X_OK)
        assert executable.read_text().splitlines()[1].startswith("exec '/a python' ")


class TestReattach:
    def test_tells_terraform_not_to_end_it(self) -> None:
        told = standin.reattach("helm", "127.0.0.1:1")
        assert list(told) == [f"{standin.HOST}/helm"]
        assert told[f"{standin.HOST}/helm"]["Test"] is True
        assert told[f"{standin.HOST}/helm"]["Addr"] == {
            "Network": "tcp",
            "String": "127.0.0.1:1",
        }
