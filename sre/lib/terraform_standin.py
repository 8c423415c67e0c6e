"""Stand in for a Terraform provider whose binary cannot be had.

Serves the schema read by ``provider_schema.py`` over Terraform's plugin protocol
(version 6), so that the real ``terraform`` validates, tests, plans and applies
modules against the real provider's attributes and blocks. There is no cluster
behind it: whatever is applied counts as made, and what a cluster would have
filled in gets a made-up value. What it cannot say: whether the provider's own
validation functions, or a cluster, would have refused something.

``install`` writes the small executable that Terraform looks for in a plugin
mirror and starts by itself, several times for each command. ``attach`` starts one
server for all commands instead and prints what Terraform wants to be told of it.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import stat
import sys
import threading
from concurrent import futures
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

HOST = "registry.terraform.io/hashicorp"
PROTOCOL = 6
# Terraform's marker of a value that is only known after the apply.
UNKNOWN_CODE = 0
# Field 11 of Schema.Attribute, a varint: ``write_only``, newer than the stubs used.
WRITE_ONLY_FIELD = b"\x58\x01"
NESTING = {"single": 1, "list": 2, "set": 3, "map": 4}


def type_of_block(block: dict[str, Any]) -> Any:
    """Spell the type of a block's value the way Terraform does in JSON."""
    members: dict[str, Any] = {}
    for name, attribute in block["attributes"].items():
        members[name] = type_of_attribute(attribute)
    for name, nested in block["block_types"].items():
        inner = type_of_block(nested["block"])
        members[name] = inner if nested["nesting"] == "single" else [nested["nesting"], inner]
    return ["object", members]


def type_of_attribute(attribute: dict[str, Any]) -> Any:
    """Spell the type of an attribute, nested ones included."""
    if "nested" not in attribute:
        return attribute["type"]
    inner = type_of_block(attribute["nested"])
    return inner if attribute["nesting"] == "single" else [attribute["nesting"], inner]


def plan_block(
    block: dict[str, Any],
    proposed: dict[str, Any] | None,
    unknown: object,
) -> dict[str, Any] | None:
    """Mark what the provider would fill in, and drop what must not be kept."""
    if proposed is None:
        return None
    planned: dict[str, Any] = {}
    for name, attribute in block["attributes"].items():
        value = proposed.get(name)
        if attribute.get("write_only"):
            value = None
        elif value is None and attribute.get("computed"):
            value = unknown
        elif "nested" in attribute and value is not None:
            value = _each(
                attribute,
                value,
                lambda item, a=attribute: plan_block(a["nested"], item, unknown),
            )
        planned[name] = value
    for name, nested in block["block_types"].items():
        planned[name] = _each(
            nested,
            proposed.get(name),
            lambda item, n=nested: plan_block(n["block"], item, unknown),
        )
    return planned


def _each(
    nested: dict[str, Any], value: Any, change: Callable[[dict[str, Any] | None], Any]
) -> Any:
    """Apply ``change`` to each item of a nested structure; unknown ones stay."""
    if nested["nesting"] == "single":
        return change(value) if isinstance(value, dict | None) else value
    if not isinstance(value, list):
        return value
    return [change(item) if isinstance(item, dict) else item for item in value]


def made_up(kind: Any, path: str) -> Any:
    """Invent the value that a cluster would have filled in."""
    if isinstance(kind, list):
        return {} if kind[0] == "map" else _empty(kind, path)
    return {"string": f"standin-{path}", "number": 1, "bool": False}[kind]


def _empty(kind: list[Any], path: str) -> Any:
    if kind[0] == "object":
        return {name: made_up(member, f"{path}-{name}") for name, member in kind[1].items()}
    return []


def fill_in(kind: Any, value: Any, is_unknown: Callable[[Any], bool], path: str = "value") -> Any:
    """Replace what is unknown in a planned value by invented values."""
    if is_unknown(value):
        return made_up(kind, path)
    if isinstance(kind, list) and value is not None:
        if kind[0] == "object" and isinstance(value, dict):
            return {
                name: fill_in(member, value.get(name), is_unknown, f"{path}-{name}")
                for name, member in kind[1].items()
            }
        if kind[0] in {"list", "set"}:
            return [fill_in(kind[1], item, is_unknown, path) for item in value]
        if kind[0] == "map":
            return {key: fill_in(kind[1], item, is_unknown, path) for key, item in value.items()}
    return value


def serve(schema: dict[str, Any], attach_as: str | None = None) -> None:
    """Serve the schema until Terraform hangs up, or, attached, for ever."""
    # Only the process that Terraform starts has these packages.
    import grpc
    import msgpack
    from tf.gen import grpc_controller_pb2 as controller
    from tf.gen import grpc_controller_pb2_grpc as controller_rpc
    from tf.gen import grpc_stdio_pb2_grpc as stdio_rpc
    from tf.gen import tfplugin_pb2 as pb
    from tf.gen import tfplugin_pb2_grpc as rpc

    unknown = msgpack.ExtType(UNKNOWN_CODE, b"\x00")
    stopped = threading.Event()

    def is_unknown(value: Any) -> bool:
        return isinstance(value, msgpack.ExtType) and value.code == UNKNOWN_CODE

    def decode(value: Any) -> Any:
        return msgpack.unpackb(value.msgpack, strict_map_key=False) if value.msgpack else None

    def encode(value: Any) -> Any:
        return pb.DynamicValue(msgpack=msgpack.packb(value))

    def attribute_message(name: str, attribute: dict[str, Any]) -> Any:
        message = pb.Schema.Attribute(
            name=name,
            **{
                flag: bool(attribute.get(flag))
                for flag in ("required", "optional", "computed", "sensitive")
            },
        )
        if "nested" in attribute:
            message.nested_type.nesting = NESTING[attribute["nesting"]]
            message.nested_type.attributes.extend(
                attribute_message(inner, value)
                for inner, value in attribute["nested"]["attributes"].items()
            )
        else:
            message.type = json.dumps(attribute["type"]).encode()
        if attribute.get("write_only"):
            message.MergeFromString(WRITE_ONLY_FIELD)
        return message

    def block_message(block: dict[str, Any]) -> Any:
        return pb.Schema.Block(
            attributes=[attribute_message(*item) for item in block["attributes"].items()],
            block_types=[
                pb.Schema.NestedBlock(
                    type_name=name,
                    block=block_message(nested["block"]),
                    nesting=NESTING[nested["nesting"]],
                    min_items=nested["min_items"],
                    max_items=nested["max_items"],
                )
                for name, nested in block["block_types"].items()
            ],
        )

    # Terraform asks for it several times for each command.
    schema_response = pb.GetProviderSchema.Response(
        provider=pb.Schema(block=block_message(schema["provider"])),
        resource_schemas={
            name: pb.Schema(block=block_message(block))
            for name, block in schema["resources"].items()
        },
    )

    class Provider(rpc.ProviderServicer):  # type: ignore[misc]
        def GetMetadata(self, request: Any, context: Any) -> Any:
            return pb.GetMetadata.Response(
                resources=[
                    pb.GetMetadata.ResourceMetadata(type_name=name) for name in schema["resources"]
                ]
            )

        def GetProviderSchema(self, request: Any, context: Any) -> Any:
            return schema_response

        def ValidateProviderConfig(self, request: Any, context: Any) -> Any:
            return pb.ValidateProviderConfig.Response()

        def ValidateResourceConfig(self, request: Any, context: Any) -> Any:
            return pb.ValidateResourceConfig.Response()

        def ConfigureProvider(self, request: Any, context: Any) -> Any:
            return pb.ConfigureProvider.Response()

        def UpgradeResourceState(self, request: Any, context: Any) -> Any:
            return pb.UpgradeResourceState.Response(
                upgraded_state=encode(json.loads(request.raw_state.json))
            )

        def ReadResource(self, request: Any, context: Any) -> Any:
            return pb.ReadResource.Response(new_state=request.current_state)

        def PlanResourceChange(self, request: Any, context: Any) -> Any:
            block = schema["resources"][request.type_name]
            planned = plan_block(block, decode(request.proposed_new_state), unknown)
            return pb.PlanResourceChange.Response(planned_state=encode(planned))

        def ApplyResourceChange(self, request: Any, context: Any) -> Any:
            kind = type_of_block(schema["resources"][request.type_name])
            planned = decode(request.planned_state)
            return pb.ApplyResourceChange.Response(
                new_state=encode(fill_in(kind, planned, is_unknown, request.type_name))
            )

        def StopProvider(self, request: Any, context: Any) -> Any:
            if attach_as is None:
                stopped.set()
            return pb.StopProvider.Response()

    class Controller(controller_rpc.GRPCControllerServicer):  # type: ignore[misc]
        def Shutdown(self, request: Any, context: Any) -> Any:
            if attach_as is None:
                stopped.set()
            return controller.Empty()

    class Stdio(stdio_rpc.GRPCStdioServicer):  # type: ignore[misc]
        def StreamStdio(self, request: Any, context: Any) -> Any:
            return iter([])

    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=8),
        options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
    )
    rpc.add_ProviderServicer_to_server(Provider(), server)
    controller_rpc.add_GRPCControllerServicer_to_server(Controller(), server)
    stdio_rpc.add_GRPCStdioServicer_to_server(Stdio(), server)
    # Without TLS: Terraform is told so by TF_DISABLE_PLUGIN_TLS.
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    address = f"127.0.0.1:{port}"
    if attach_as is None:
        greeting = f"1|{PROTOCOL}|tcp|{address}|grpc"
    else:
        greeting = json.dumps(reattach(attach_as, address))
    sys.stdout.write(f"{greeting}\n")
    sys.stdout.flush()
    stopped.wait()
    server.stop(grace=0.2).wait()


def reattach(name: str, address: str) -> dict[str, Any]:
    """Say what Terraform wants in TF_REATTACH_PROVIDERS for one provider."""
    return {
        f"{HOST}/{name}": {
            "Protocol": "grpc",
            "ProtocolVersion": PROTOCOL,
            "Pid": os.getpid(),
            # Else Terraform would end the server after its first command.
            "Test": True,
            "Addr": {"Network": "tcp", "String": address},
        }
    }


def install(schema_path: Path, mirror: Path, name: str, python: Path, platform: str) -> Path:
    """Write the executable that Terraform looks for, and return its path."""
    version = json.loads(schema_path.read_text(encoding="utf-8"))["version"]
    directory = mirror / HOST / name / version / platform
    directory.mkdir(parents=True, exist_ok=True)
    executable = directory / f"terraform-provider-{name}_v{version}"
    command = shlex.join(
        [str(python), str(Path(__file__).resolve()), "serve", str(schema_path.resolve())]
    )
    executable.write_text(f"#!/bin/sh\nexec {command}\n", encoding="utf-8")
    executable.chmod(executable.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP)
    return executable


def main(argv: list[str] | None = None) -> int:
    """Serve a schema, or install the executable that will."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    commands = parser.add_subparsers(dest="command", required=True)
    serving = commands.add_parser("serve", help="serve a schema to Terraform")
    serving.add_argument("schema", type=Path)
    attaching = commands.add_parser("attach", help="serve a schema to many commands")
    attaching.add_argument("schema", type=Path)
    attaching.add_argument("name", help="name of the provider, as in kubernetes")
    installing = commands.add_parser("install", help="write the executable into a plugin mirror")
    installing.add_argument("schema", type=Path)
    installing.add_argument("mirror", type=Path)
    installing.add_argument("name", help="name of the provider, as in kubernetes")
    installing.add_argument("platform", help="as Terraform spells it, as in linux_amd64")
    options = parser.parse_args(argv)
    if options.command == "install":
        install(
            options.schema, options.mirror, options.name, Path(sys.executable), options.platform
        )
        return 0
    schema = json.loads(options.schema.read_text(encoding="utf-8"))
    serve(schema, options.name if options.command == "attach" else None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
