"""Provider schemas read back from their CDK bindings."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from sre.lib import provider_schema
from sre.lib.provider_schema import Bindings, SchemaError, read_schema

PROVIDER = """
class ExampleProvider extends cdktn.TerraformProvider {
    static tfResourceType = "example";
            terraformResourceType: 'example',
            providerVersion: '1.2.3',
    synthesizeHclAttributes() {
        const attrs = {
            host: {
                value: cdktn.stringToHclTerraform(this._host),
                isBlock: false,
                type: "simple",
                storageClassType: "string",
            },
            alias: {
                value: cdktn.stringToHclTerraform(this._alias),
                isBlock: false,
                type: "simple",
                storageClassType: "string",
            },
        };
    }
}
exports.ExampleProvider = ExampleProvider;
"""

THING = """
function thingSpecToHclTerraform(struct) {
    const attrs = {
        drop: {
            value: cdktn.listMapperHcl(cdktn.stringToHclTerraform, false)(struct.drop),
            isBlock: false,
            type: "set",
            storageClassType: "stringList",
        },
    };
}
class ThingSpecOutputReference extends cdktn.ComplexObject {
    // drop - computed: false, optional: true, required: false
    _drop;
    get drop() {
        return cdktn.Fn.tolist(this.getListAttribute('drop'));
    }
}
exports.ThingSpecOutputReference = ThingSpecOutputReference;
class ThingStatusOutputReference extends cdktn.ComplexObject {
    // ip - computed: true, optional: false, required: false
    get ip() {
        return this.getStringAttribute('ip');
    }
}
exports.ThingStatusOutputReference = ThingStatusOutputReference;
class Thing extends cdktn.TerraformResource {
            terraformResourceType: 'example_thing',
    // data_wo - computed: false, optional: true, required: false
    _dataWo;
    get dataWo() {
        return this.getStringMapAttribute('data_wo');
    }
    // size - computed: true, optional: true, required: false
    _size;
    get size() {
        return this.getNumberAttribute('size');
    }
    // status - computed: true, optional: false, required: false
    _status = new ThingStatusList(this, "status", false);
    get status() {
        return this._status;
    }
    // spec - computed: false, optional: false, required: true
    _spec = new ThingSpecOutputReference(this, "spec");
    get spec() {
        return this._spec;
    }
    // rule - computed: false, optional: true, required: false
    _rule = new ThingSpecList(this, "rule", false);
    get rule() {
        return this._rule;
    }
    synthesizeHclAttributes() {
        const attrs = {
            data_wo: {
                value: cdktn.hashMapperHcl(cdktn.stringToHclTerraform)(this._dataWo),
                isBlock: false,
                type: "map",
                storageClassType: "stringMap",
            },
            size: {
                value: cdktn.numberToHclTerraform(this._size),
                isBlock: false,
                type: "simple",
                storageClassType: "number",
            },
            spec: {
                value: thingSpecToHclTerraform(this._spec.internalValue),
                isBlock: true,
                type: "list",
                storageClassType: "ThingSpecList",
            },
            rule: {
                value: cdktn.listMapperHcl(thingSpecToHclTerraform, true)(this._rule.internalValue),
                isBlock: true,
                type: "list",
                storageClassType: "ThingSpecList",
            },
        };
    }
}
exports.Thing = Thing;
"""

SPEC = {
    "attributes": {"drop": {"optional": True, "type": ["set", "string"]}},
    "block_types": {},
}


@pytest.fixture
def bindings() -> Bindings:
    return Bindings({"provider": PROVIDER, "thing": THING})


class TestReadSchema:
    def test_reads_attributes_and_blocks(self, bindings: Bindings) -> None:
        assert read_schema(bindings, ["example_thing"]) == {
            "version": "1.2.3",
            "provider": {
                "attributes": {"host": {"optional": True, "type": "string"}},
                "block_types": {},
            },
            "resources": {
                "example_thing": {
                    "attributes": {
                        "data_wo": {
                            "optional": True,
                            "write_only": True,
                            "type": ["map", "string"],
                        },
                        "size": {"computed": True, "optional": True, "type": "number"},
                        "status": {
                            "computed": True,
                            "type": ["list", ["object", {"ip": "string"}]],
                        },
                    },
                    "block_types": {
                        "spec": {
                            "nesting": "list",
                            "min_items": 1,
                            "max_items": 1,
                            "block": SPEC,
                        },
                        "rule": {
                            "nesting": "list",
                            "min_items": 0,
                            "max_items": 0,
                            "block": SPEC,
                        },
                    },
                }
            },
        }

    def test_leaves_an_unknown_type_for_terraform_to_report(
        self, bindings: Bindings
    ) -> None:
        assert read_schema(bindings, ["example_other"])["resources"] == {}

    def test_says_when_an_attribute_has_no_flags(self, bindings: Bindings) -> None:
        bindings.sources["thing"] = THING.replace(
            "// size - computed", "// sise - computed"
        )
        with pytest.raises(
            SchemaError, match=r"example_thing: no flags for \['size'\]"
        ):
            read_schema(bindings, ["example_thing"])

    def test_says_when_a_type_is_new(self, bindings: Bindings) -> None:
        bindings.sources["thing"] = THING.replace('"number"', '"quantum"')
        with pytest.raises(SchemaError, match="unknown type quantum of size"):
            read_schema(bindings, ["example_thing"])


class TestFromWheel:
    def wheel(self, path: Path, packages: int = 1) -> Path:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for name, text in {
                "package/lib/provider/index.js": PROVIDER,
                "package/lib/thing/index.js": THING,
                "package/lib/thing/index.d.ts": "ignored",
                "package/lib/index.js": "ignored",
            }.items():
                member = tarfile.TarInfo(name)
                member.size = len(text.encode())
                archive.addfile(member, io.BytesIO(text.encode()))
        wheel = path / "example.whl"
        with zipfile.ZipFile(wheel, "w") as outer:
            for number in range(packages):
                outer.writestr(f"example/_jsii/{number}.jsii.tgz", packed.getvalue())
        return wheel

    def test_reads_the_code_by_directory(self, tmp_path: Path) -> None:
        bindings = Bindings.from_wheel(self.wheel(tmp_path))
        assert bindings.sources == {"provider": PROVIDER, "thing": THING}
        assert bindings.version() == "1.2.3"
        assert bindings.resources() == {"example_thing": "thing"}

    @pytest.mark.parametrize("packages", [0, 2])
    def test_refuses_another_layout(self, tmp_path: Path, packages: int) -> None:
        with pytest.raises(SchemaError, match="does not hold exactly one package"):
            Bindings.from_wheel(self.wheel(tmp_path, packages))


class TestMain:
    def test_writes_the_schema_and_says_its_version(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        wheel = TestFromWheel().wheel(tmp_path)
        output = tmp_path / "schema.json"
        assert provider_schema.main([str(wheel), str(output), "example_thing"]) == 0
        assert capsys.readouterr().out == "1.2.3\n"
        assert '"example_thing"' in output.read_text()
