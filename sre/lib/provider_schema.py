"""Read a Terraform provider's schema from its published CDK bindings.

The registry that serves the providers cannot be reached from every machine, but
each release of the Kubernetes and Helm providers is also published as Python
bindings, generated from the provider's own schema. What Terraform needs to know
(attributes, types, blocks, what is required or computed) can be read back from
the JavaScript inside that wheel; ``terraform_standin.py`` serves it.

Known losses: defaults, validation functions and "conflicts with" are code of the
provider and not part of any schema; they are not checked this way.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import sys
import tarfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# The bindings do not say which attributes are sensitive; these are the ones used.
SENSITIVE = {("kubernetes_secret_v1", "data"), ("kubernetes_secret_v1", "binary_data")}

_COMMENT = re.compile(
    r"// (?P<name>\w+) - computed: (?P<computed>true|false), "
    r"optional: (?P<optional>true|false), required: (?P<required>true|false)\n"
    r"(?P<code>(?:(?!\n    // \w+ - computed).)*)",
    re.DOTALL,
)
_HCL_ENTRY = re.compile(
    r"^\s+(?P<name>\w+): \{\n"
    r"\s+value: (?P<value>[^\n]+),\n"
    r"\s+isBlock: (?P<is_block>true|false),\n"
    r'\s+type: "(?P<type>\w+)",\n'
    r'\s+storageClassType: "(?P<storage>\w+)",\n',
    re.MULTILINE,
)
_HCL_FUNCTION = re.compile(r"(\w+)ToHclTerraform\b")
_RESOURCE_TYPE = re.compile(r"terraformResourceType: '(\w+)'")
_VERSION = re.compile(r"providerVersion: '([^']+)'")
_TOP_CLASS = re.compile(
    r"^class (\w+) extends cdktn\.Terraform(?:Resource|Provider) \{", re.MULTILINE
)
_NESTED = re.compile(r"= new (?:\w+\.)?(\w+?)(List|OutputReference|Map)\(")
_GETTERS: dict[str, Any] = {
    "getStringAttribute": "string",
    "getNumberAttribute": "number",
    "getBooleanAttribute": "bool",
    "getListAttribute": ["list", "string"],
    "getNumberListAttribute": ["list", "number"],
    "getStringMapAttribute": ["map", "string"],
    "getAnyMapAttribute": ["map", "string"],
    "getBooleanMapAttribute": ["map", "bool"],
    "getNumberMapAttribute": ["map", "number"],
}
_SCALARS = {"string": "string", "number": "number", "boolean": "bool"}


class SchemaError(Exception):
    """The bindings do not look the way this reader knows them."""


@dataclass(frozen=True)
class Bindings:
    """The JavaScript of one provider's bindings, by directory under ``lib/``."""

    sources: dict[str, str]

    @classmethod
    def from_wheel(cls, wheel: Path) -> Bindings:
        """Read the JavaScript package that the wheel carries for its runtime."""
        with zipfile.ZipFile(wheel) as outer:
            names = [name for name in outer.namelist() if name.endswith(".jsii.tgz")]
            if len(names) != 1:
                raise SchemaError(f"{wheel.name} does not hold exactly one package: {names}")
            packed = outer.read(names[0])
        sources: dict[str, str] = {}
        with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as inner:
            for member in inner:
                parts = member.name.split("/")
                if parts[:2] != ["package", "lib"] or len(parts) < 4:
                    continue
                if not member.name.endswith(".js") or not member.isfile():
                    continue
                stream = inner.extractfile(member)
                if stream is not None:
                    text = stream.read().decode()
                    sources[parts[2]] = sources.get(parts[2], "") + text
        return cls(sources)

    def version(self) -> str:
        """Say which release of the provider the bindings were generated from."""
        found = _VERSION.search(self.sources.get("provider", ""))
        if found is None:
            raise SchemaError("the bindings do not name the provider's version")
        return found[1]

    def resources(self) -> dict[str, str]:
        """Map each resource type to the directory that holds its code."""
        result = {}
        for directory, text in self.sources.items():
            if directory == "provider" or directory.startswith(("data-", "ephemeral-")):
                continue
            found = _RESOURCE_TYPE.search(text)
            if found is not None:
                result[found[1]] = directory
        return result


@dataclass(frozen=True)
class _Reader:
    """Reads the blocks of one source text."""

    text: str
    # Providers of the newer plugin framework have nested attributes, others blocks.
    is_framework: bool

    def class_body(self, name: str) -> str:
        start = self.text.find(f"\nclass {name} extends ")
        if start < 0:
            raise SchemaError(f"no class {name}")
        end = self.text.find(f"\nexports.{name} = {name};", start)
        return self.text[start : end if end >= 0 else None]

    def hcl_entries(self, body: str) -> dict[str, re.Match[str]]:
        return {found["name"]: found for found in _HCL_ENTRY.finditer(body)}

    def struct_entries(self, function: str) -> dict[str, re.Match[str]]:
        start = self.text.find(f"function {function}ToHclTerraform(struct)")
        if start < 0:
            raise SchemaError(f"no function {function}ToHclTerraform")
        end = self.text.find("\n}\n", start)
        return self.hcl_entries(self.text[start:end])

    def block(self, body: str, entries: dict[str, re.Match[str]], owner: str) -> dict[str, Any]:
        """Build a block from a class body and the entries of its HCL function."""
        attributes: dict[str, Any] = {}
        block_types: dict[str, Any] = {}
        for found in _COMMENT.finditer(body):
            name = found["name"]
            flags = {
                flag: True for flag in ("computed", "optional", "required") if found[flag] == "true"
            }
            if name.endswith("_wo"):
                flags["write_only"] = True
            if (owner, name) in SENSITIVE:
                flags["sensitive"] = True
            entry = entries.get(name)
            if entry is None:
                kind = self.type_of_getter(found["code"], name)
                attributes[name] = {**flags, "type": kind}
            else:
                self.place(entry, flags, attributes, block_types)
        missing = set(entries) - set(attributes) - set(block_types)
        if missing:
            raise SchemaError(f"{owner}: no flags for {sorted(missing)}")
        return {"attributes": attributes, "block_types": block_types}

    def place(
        self,
        entry: re.Match[str],
        flags: dict[str, bool],
        attributes: dict[str, Any],
        block_types: dict[str, Any],
    ) -> None:
        """Put one entry of an HCL function among the attributes or the blocks."""
        name = entry["name"]
        function = _nested_function(entry)
        if function is None:
            attributes[name] = {**flags, "type": _type_of_entry(entry)}
            return
        many = "listMapperHcl" in entry["value"]
        nesting = entry["type"] if entry["type"] in {"list", "set"} else "single"
        # The mapper's second argument says whether the items are blocks.
        as_attribute = ", false)(" in entry["value"] if many else nesting == "single"
        if self.is_framework and as_attribute:
            attributes[name] = {**flags, "nested": self.struct(function), "nesting": nesting}
            return
        block_types[name] = {
            "nesting": nesting,
            "min_items": 1 if flags.get("required") and nesting != "single" else 0,
            "max_items": 0 if many or nesting == "single" else 1,
            "block": self.struct(function),
        }

    def struct(self, function: str) -> dict[str, Any]:
        name = function[0].upper() + function[1:]
        entries = self.struct_entries(function)
        if f"class {name}OutputReference extends " in self.text:
            return self.block(self.class_body(f"{name}OutputReference"), entries, name)
        # Structs of a provider's own configuration have no class and so no flags.
        return self.configuration(entries)

    def configuration(self, entries: dict[str, re.Match[str]]) -> dict[str, Any]:
        """Build a block of which the flags are not published: all is optional."""
        attributes: dict[str, Any] = {}
        block_types: dict[str, Any] = {}
        for name, entry in entries.items():
            # Terraform's own meta-argument, not the provider's.
            if name != "alias":
                self.place(entry, {"optional": True}, attributes, block_types)
        return {"attributes": attributes, "block_types": block_types}

    def type_of_getter(self, code: str, name: str) -> Any:
        nested = _NESTED.search(code)
        if nested is not None and nested[2] == "Map" and nested[1].lower() in _SCALARS:
            return ["map", _SCALARS[nested[1].lower()]]
        if nested is not None:
            body = self.class_body(f"{nested[1]}OutputReference")
            members = {
                found["name"]: self.type_of_getter(found["code"], found["name"])
                for found in _COMMENT.finditer(body)
            }
            return ["list", ["object", members]] if nested[2] == "List" else ["object", members]
        for getter, kind in _GETTERS.items():
            if f".{getter}('" in code:
                if "Fn.tolist(" in code and isinstance(kind, list):
                    return ["set", kind[1]]
                return kind
        raise SchemaError(f"cannot tell the type of {name}")


def _nested_function(entry: re.Match[str]) -> str | None:
    """Name the function of the nested structure, if the entry has one."""
    value = entry["value"]
    found = _HCL_FUNCTION.search(value)
    if found is None or found[1] in _SCALARS or "hashMapper" in value:
        return None
    return found[1]


def _type_of_entry(entry: re.Match[str]) -> Any:
    """Translate ``storageClassType`` into Terraform's JSON spelling of a type."""
    storage = entry["storage"]
    if storage in _SCALARS:
        return _SCALARS[storage]
    for suffix, kind in (("List", "list"), ("Map", "map"), ("Set", "set")):
        if storage.endswith(suffix):
            item = _SCALARS.get(storage.removesuffix(suffix), "string")
            return [entry["type"] if entry["type"] in {"list", "set", "map"} else kind, item]
    raise SchemaError(f"unknown type {storage} of {entry['name']}")


def read_schema(bindings: Bindings, types: Iterable[str]) -> dict[str, Any]:
    """Return the schema of the provider and of those resource types it has.

    A type the provider does not have is left out, so that Terraform itself
    reports it, the way it would with the real provider.
    """
    source = bindings.sources["provider"]
    top = _TOP_CLASS.search(source)
    if top is None:
        raise SchemaError("no provider class")
    is_framework = 'tfResourceType = "helm"' in source
    reader = _Reader(source, is_framework)
    provider = reader.configuration(reader.hcl_entries(reader.class_body(top[1])))
    directories = bindings.resources()
    resources = {}
    for kind in sorted(set(types)):
        if kind not in directories:
            continue
        text = bindings.sources[directories[kind]]
        resource = _Reader(text, is_framework)
        found = _TOP_CLASS.search(text)
        if found is None:
            raise SchemaError(f"no class for {kind}")
        body = resource.class_body(found[1])
        resources[kind] = resource.block(body, resource.hcl_entries(body), kind)
    return {"version": bindings.version(), "provider": provider, "resources": resources}


def main(argv: list[str] | None = None) -> int:
    """Write the schema of the wanted resource types as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("wheel", type=Path, help="wheel of the provider's CDK bindings")
    parser.add_argument("output", type=Path, help="where to write the schema")
    parser.add_argument("types", nargs="+", help="resource types, as in kubernetes_secret_v1")
    options = parser.parse_args(argv)
    schema = read_schema(Bindings.from_wheel(options.wheel), options.types)
    options.output.write_text(json.dumps(schema), encoding="utf-8")
    sys.stdout.write(f"{schema['version']}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
