"""What workers tell routers of themselves, between `fleet.proto` and the types."""

from dataclasses import fields
from typing import Any

from baton.v1 import fleet_pb2
from common.net import wire
from common.net.convert import role_from_proto, role_to_proto
from common.types.errors import invalid
from common.types.member import Carried, DeviceLoad, FetchTotals, Hello, Load, StepTotals


def hello_to_proto(hello: Hello) -> fleet_pb2.Hello:
    said = _fields(hello)
    said["role"], said["layout_fingerprint"] = role_to_proto(hello.role), said.pop("layout")
    return fleet_pb2.Hello(**said)


def hello_from_proto(message: fleet_pb2.Hello) -> Hello:
    wire.bounded("hello.transports", message.transports, wire.MAX_TRANSPORTS)
    return Hello(
        member=wire.name("hello.member", message.member),
        role=role_from_proto(message.role, "hello.role"),
        address=wire.name("hello.address", message.address, 256),
        epoch=wire.number("hello.epoch", message.epoch, 1, wire.MAX_U64),
        model=wire.text("hello.model", message.model),
        model_fingerprint=wire.name("hello.model_fingerprint", message.model_fingerprint),
        layout=wire.name("hello.layout_fingerprint", message.layout_fingerprint),
        protocol=wire.number("hello.protocol", message.protocol, 1, wire.MAX_U32),
        block_tokens=wire.number("hello.block_tokens", message.block_tokens, 1, 1 << 16),
        block_bytes=wire.number("hello.block_bytes", message.block_bytes, 1, 1 << 40),
        num_blocks=wire.number("hello.num_blocks", message.num_blocks, 1, wire.MAX_BLOCK),
        max_sequences=wire.number("hello.max_sequences", message.max_sequences, 1, 1 << 20),
        max_model_tokens=wire.number("hello.max_model_tokens", message.max_model_tokens, 1, wire.MAX_TOKEN_ID),
        transports=tuple(wire.name("hello.transports", transport, 32) for transport in message.transports),
        cache_key_id=wire.name("hello.cache_key_id", message.cache_key_id),
    )


def load_to_proto(load: Load) -> fleet_pb2.Load:
    inner = {
        "steps": fleet_pb2.StepTotals(**_fields(load.steps)),
        "fetches": _fetches_to_proto(load.fetches),
        "device": None if load.device is None else fleet_pb2.DeviceLoad(**_fields(load.device)),
    }
    return fleet_pb2.Load(**_fields(load) | inner)


def load_from_proto(message: fleet_pb2.Load) -> Load:
    wire.bounded("load.added_hashes", message.added_hashes, wire.MAX_HASHES)
    wire.bounded("load.removed_hashes", message.removed_hashes, wire.MAX_HASHES)
    total = message.num_free_blocks + message.num_cached_blocks + message.num_quarantined_blocks
    total += message.num_owned_blocks + message.num_sealed_blocks
    if total > wire.MAX_BLOCK:
        raise invalid("load.num_free_blocks", f"all blocks together must be at most {wire.MAX_BLOCK}")
    return Load(
        sequence=message.sequence,
        num_free_blocks=message.num_free_blocks,
        num_cached_blocks=message.num_cached_blocks,
        num_quarantined_blocks=message.num_quarantined_blocks,
        num_running=message.num_running,
        num_waiting=message.num_waiting,
        backlog_tokens=message.backlog_tokens,
        prefill_tokens_per_s=wire.real("load.prefill_tokens_per_s", message.prefill_tokens_per_s, 0, 1e15),
        step_ms=wire.real("load.step_ms", message.step_ms, 0, 1e15),
        fetch_bytes_per_s=wire.real("load.fetch_bytes_per_s", message.fetch_bytes_per_s, 0, 1e18),
        added_hashes=tuple(message.added_hashes),
        removed_hashes=tuple(message.removed_hashes),
        drained=message.drained,
        draining=message.draining,
        num_owned_blocks=message.num_owned_blocks,
        num_sealed_blocks=message.num_sealed_blocks,
        oldest_cached_s=wire.real("load.oldest_cached_s", message.oldest_cached_s, 0, 1e15),
        oldest_quarantined_s=wire.real("load.oldest_quarantined_s", message.oldest_quarantined_s, 0, 1e15),
        steps=_steps_from_proto(message.steps),
        fetches=_fetches_from_proto(message.fetches),
        device=_device_from_proto(message.device) if message.HasField("device") else None,
    )


def _device_from_proto(message: fleet_pb2.DeviceLoad) -> DeviceLoad:
    utilisation = wire.real("load.device.utilisation", message.utilisation, 0, 1)
    return DeviceLoad(message.used_bytes, message.total_bytes, utilisation, message.num_uncorrected_errors)


def _steps_from_proto(message: fleet_pb2.StepTotals) -> StepTotals:
    return StepTotals(
        num_steps=message.num_steps,
        kernel_s=wire.real("load.steps.kernel_s", message.kernel_s, 0, 1e15),
        other_s=wire.real("load.steps.other_s", message.other_s, 0, 1e15),
        num_prompt_tokens=message.num_prompt_tokens,
        num_output_tokens=message.num_output_tokens,
        num_queried_tokens=message.num_queried_tokens,
        num_hit_tokens=message.num_hit_tokens,
        num_preempted=message.num_preempted,
    )


def _fetches_to_proto(fetches: FetchTotals) -> fleet_pb2.FetchTotals:
    carried = [fleet_pb2.Carried(**_fields(each)) for each in fetches.carried]
    return fleet_pb2.FetchTotals(
        carried=carried,
        num_checksum_failures=fetches.num_checksum_failures,
        num_transport_failures=fetches.num_transport_failures,
    )


def _fetches_from_proto(message: fleet_pb2.FetchTotals) -> FetchTotals:
    """A transport named twice would be two series of one name."""
    field = "load.fetches.carried"
    wire.bounded(field, message.carried, wire.MAX_TRANSPORTS)
    if len({each.transport for each in message.carried}) < len(message.carried):
        raise invalid(field, "names a transport twice")
    carried = tuple(
        Carried(
            transport=wire.name(field, each.transport, 32),
            num_fetches=each.num_fetches,
            num_bytes=each.num_bytes,
            seconds=wire.real(field, each.seconds, 0, 1e15),
        )
        for each in message.carried
    )
    return FetchTotals(carried, message.num_checksum_failures, message.num_transport_failures)


def _fields(value: Hello | Load | StepTotals | Carried | DeviceLoad) -> dict[str, Any]:
    """By name: what a worker says of itself is called the same on the wire, and protobuf knows each field's kind."""
    return {field.name: getattr(value, field.name) for field in fields(value)}
