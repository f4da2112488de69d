"""KV blocks as messages: how a pool is laid out, and what a lender sealed."""

import hashlib
from dataclasses import dataclass

from common.types.ids import AttemptId
from common.types.sampling import SampledToken

DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
KV_DTYPE_BYTES = {**DTYPE_BYTES, "fp8": 1}
"""What KV can be kept in; fp8 is e4m3 as it is, without scales."""


@dataclass(frozen=True, slots=True)
class KVLayout:
    """`[block][layer][k|v][kv_head][token][head_dim]`: one block is one contiguous run of bytes.

    `model` is the model's fingerprint: blocks of different weights must never be exchanged.
    """

    model: str
    num_layers: int
    num_kv_heads: int
    block_tokens: int
    head_dim: int
    dtype: str

    @property
    def block_shape(self) -> tuple[int, int, int, int, int]:
        return (self.num_layers, 2, self.num_kv_heads, self.block_tokens, self.head_dim)

    @property
    def token_bytes(self) -> int:
        return self.num_layers * 2 * self.num_kv_heads * self.head_dim * KV_DTYPE_BYTES[self.dtype]

    @property
    def block_bytes(self) -> int:
        return self.token_bytes * self.block_tokens

    def blocks_for(self, num_tokens: int) -> int:
        return -(-num_tokens // self.block_tokens)

    @property
    def fingerprint(self) -> str:
        text = f"{self.model}/{self.block_shape}/{self.dtype}/v1"
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class BlockRef:
    """A block as its owner names it; the generation changes with every allocation."""

    block: int
    generation: int
    checksum: int


@dataclass(frozen=True, slots=True)
class Pair:
    """One block to copy: the lender's, and the block of the own pool that receives it."""

    source: BlockRef
    target: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What was sealed: all blocks of the attempt's common part, and the first tokens sampled after it."""

    attempt: AttemptId
    layout: str
    num_tokens: int
    blocks: tuple[BlockRef, ...]
    first_tokens: tuple[SampledToken, ...]
