"""What workers tell routers of themselves, between `fleet.proto` and the types."""

from baton.v1 import fleet_pb2
from common.net import wire
from common.net.convert import role_from_proto, role_to_proto
from common.types.errors import invalid
from common.types.member import Hello, Load


def hello_to_proto(hello: Hello) -> fleet_pb2.Hello:
    return fleet_pb2.Hello(
        member=hello.member,
        role=role_to_proto(hello.role),
        address=hello.address,
        epoch=hello.epoch,
        model=hello.model,
        model_fingerprint=hello.model_fingerprint,
        layout_fingerprint=hello.layout,
        protocol=hello.protocol,
        block_tokens=hello.block_tokens,
        block_bytes=hello.block_bytes,
        num_blocks=hello.num_blocks,
        max_sequences=hello.max_sequences,
        max_model_tokens=hello.max_model_tokens,
        transports=hello.transports,
        cache_key_id=hello.cache_key_id,
    )


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
    return fleet_pb2.Load(
        sequence=load.sequence,
        num_free_blocks=load.num_free_blocks,
        num_cached_blocks=load.num_cached_blocks,
        num_quarantined_blocks=load.num_quarantined_blocks,
        num_running=load.num_running,
        num_waiting=load.num_waiting,
        backlog_tokens=load.backlog_tokens,
        prefill_tokens_per_s=load.prefill_tokens_per_s,
        step_ms=load.step_ms,
        fetch_bytes_per_s=load.fetch_bytes_per_s,
        added_hashes=load.added_hashes,
        removed_hashes=load.removed_hashes,
        drained=load.drained,
        draining=load.draining,
    )


def load_from_proto(message: fleet_pb2.Load) -> Load:
    wire.bounded("load.added_hashes", message.added_hashes, wire.MAX_HASHES)
    wire.bounded("load.removed_hashes", message.removed_hashes, wire.MAX_HASHES)
    total = message.num_free_blocks + message.num_cached_blocks + message.num_quarantined_blocks
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
    )
