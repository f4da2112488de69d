"""What every carrier of KV blocks promises. Owns the words of the data plane; knows no socket and no tensor library.

A lender only ever gives its bytes to be read; a fetcher only ever writes into blocks of its own pool.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from common.types.ids import AttemptId
from common.types.kv import BlockRef, Pair

__all__ = [
    "BlockRef",
    "Bytes",
    "ChecksumMismatch",
    "Digest",
    "FetchReport",
    "FetchingTransport",
    "LendingTransport",
    "Lends",
    "Pair",
    "PoolBytes",
    "TransportFailed",
    "check_pairs",
]

Bytes = NDArray[np.uint8]

Digest = Callable[[Bytes], int]
"""The checksum of one block."""

Lends = Callable[[AttemptId, int, int], bool]
"""Whether this attempt may read this block at this generation now."""

MAX_U64 = 2**64 - 1


@dataclass(frozen=True, slots=True, eq=False)
class PoolBytes:
    """A pool as bytes, `[num_blocks, block_bytes]`; `fd` is the memfd behind it, if there is one."""

    fd: int | None
    blocks: Bytes
    layout: str

    def __post_init__(self) -> None:
        if self.blocks.ndim != 2 or self.blocks.dtype != np.uint8 or not self.blocks.flags.c_contiguous:
            raise ValueError("a pool is one contiguous array of uint8, [num_blocks, block_bytes]")
        if not self.blocks.size:
            raise ValueError("a pool holds at least one block of at least one byte")

    @property
    def num_blocks(self) -> int:
        return int(self.blocks.shape[0])

    @property
    def block_bytes(self) -> int:
        return int(self.blocks.shape[1])


@dataclass(frozen=True, slots=True)
class FetchReport:
    """What a fetch moved; `transport` carried the last of it."""

    num_bytes: int
    seconds: float
    transport: str


class TransportFailed(Exception):
    """A fetch ended early. The pairs at the `landed` positions are copied and verified; nothing writes any more.

    `refused`: the connection is sound, but the lender does not lend these blocks; no other transport would help.
    """

    def __init__(self, reason: str, landed: frozenset[int] = frozenset(), *, refused: bool = False) -> None:
        self.reason, self.landed, self.refused = reason, landed, refused
        super().__init__(reason)


class ChecksumMismatch(Exception):
    """The copied bytes are not what the lender named: discard the attempt's blocks."""

    def __init__(self, position: int, source: BlockRef) -> None:
        self.position, self.source = position, source
        super().__init__(f"block {source.block} generation {source.generation} at position {position} differs")


class LendingTransport(Protocol):
    """Makes one pool readable to peers that hold a ticket."""

    @property
    def name(self) -> str: ...

    async def start(self) -> None: ...

    def endpoint(self) -> str:
        """Where fetchers connect; valid after `start`."""
        ...

    def ticket(self, fetcher_epoch: int) -> bytes:
        """Proof, for this process and that fetcher, of having asked over the control plane."""
        ...

    async def close(self) -> None: ...


class FetchingTransport(Protocol):
    """One connection to one lender. Copies run one after the other, in the order they were asked for."""

    @property
    def name(self) -> str: ...

    async def fetch(self, attempt: AttemptId, pairs: Sequence[Pair]) -> FetchReport:
        """Copies and verifies; raises `TransportFailed` or `ChecksumMismatch` once nothing of it can write any more.

        A cancelled fetch is told to stop but may still be writing: it stays in flight until drained or fenced.
        """
        ...

    async def measure(self, num_blocks: int) -> float:
        """Bytes per second over this connection, verified, without touching either pool's contents."""
        ...

    def in_flight(self, attempt: AttemptId) -> int:
        """Number of copies of this attempt that may still write into the own pool."""
        ...

    async def drained(self, attempt: AttemptId) -> None:
        """Returns once no copy of this attempt is in flight."""
        ...

    async def fence(self) -> None:
        """Ends the connection; after it returned nothing of it can write into the own pool."""
        ...

    async def close(self) -> None:
        """Fences, and gives every descriptor and mapping back."""
        ...


def check_pairs(pairs: Sequence[Pair], num_source_blocks: int, num_own_blocks: int) -> None:
    """Refuses numbers outside either pool, before any of them becomes an address.

    A peer's number is the peer's fault; an own block out of range or named twice is a bug here.
    """
    if not pairs:
        return
    targets = [pair.target for pair in pairs]
    if min(targets) < 0 or max(targets) >= num_own_blocks or len(set(targets)) != len(targets):
        raise ValueError("a copy's targets are distinct blocks of the own pool")
    blocks = [pair.source.block for pair in pairs]
    if min(blocks) < 0 or max(blocks) >= num_source_blocks:
        raise TransportFailed("the lender named a block outside its pool", refused=True)
    words = [pair.source.generation for pair in pairs] + [pair.source.checksum for pair in pairs]
    if min(words) < 0 or max(words) > MAX_U64:
        raise TransportFailed("the lender named a generation or checksum outside 64 bits", refused=True)
