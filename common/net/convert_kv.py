"""What a lender sealed, between `kvtransfer.proto` and the types. Checks shapes and bounds, never a loan's state."""

from collections.abc import Iterable, Sequence

from baton.v1 import kvtransfer_pb2
from common.net import wire
from common.net.convert import (
    attempt_id_from_proto,
    attempt_id_to_proto,
    first_tokens_from_proto,
    sampled_token_to_proto,
)
from common.types.kv import BlockRef, Manifest


def block_refs_to_proto(refs: Iterable[BlockRef]) -> list[kvtransfer_pb2.BlockRef]:
    return [kvtransfer_pb2.BlockRef(block=ref.block, generation=ref.generation, checksum=ref.checksum) for ref in refs]


def block_refs_from_proto(
    messages: Sequence[kvtransfer_pb2.BlockRef], field: str = "blocks", low: int = 0
) -> tuple[BlockRef, ...]:
    """Generations count from 1: a zero is an absent field, not a block's first use."""
    wire.bounded(field, messages, wire.MAX_BLOCKS, low)
    return tuple(
        BlockRef(
            wire.number(field + ".block", ref.block, 0, wire.MAX_BLOCK),
            wire.number(field + ".generation", ref.generation, 1, wire.MAX_U64),
            ref.checksum,
        )
        for ref in messages
    )


def manifest_to_proto(manifest: Manifest) -> kvtransfer_pb2.Manifest:
    return kvtransfer_pb2.Manifest(
        attempt=attempt_id_to_proto(manifest.attempt),
        layout_fingerprint=manifest.layout,
        num_tokens=manifest.num_tokens,
        blocks=block_refs_to_proto(manifest.blocks),
        first_tokens=[sampled_token_to_proto(token) for token in manifest.first_tokens],
    )


def manifest_from_proto(message: kvtransfer_pb2.Manifest) -> Manifest:
    return Manifest(
        attempt_id_from_proto(message.attempt, "manifest.attempt."),
        wire.name("manifest.layout_fingerprint", message.layout_fingerprint),
        wire.number("manifest.num_tokens", message.num_tokens, 1, wire.MAX_TOKENS),
        block_refs_from_proto(message.blocks, "manifest.blocks", low=1),
        first_tokens_from_proto(message.first_tokens, "manifest.first_tokens"),
    )
