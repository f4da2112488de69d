"""Which blocks are free, cached, owned, sealed, quarantined. Numbers only: knows no bytes, no tokens, no requests.

    free -> owned <-> sealed          allocate; seal, unseal (a lender's promise on top of a reference)
    owned -> free | cached            the last reference is released; cached when the prefix index names the block
    cached -> owned | free            a hit retains it; allocation needs the room (least recently used first)
    owned -> quarantined -> free      a copy may still write into it, until it is released

Releasing a sequence's blocks from the last to the first makes a chain's leaf older than its parents, so that eviction
nibbles at the ends of old conversations and keeps the prefixes they share.
"""

import heapq
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from common.cache.prefix import PrefixIndex


@dataclass(frozen=True, slots=True)
class Oldest:
    """When the block that has been cached the longest became so, and the one in quarantine; None without any."""

    cached_at: float | None
    quarantined_at: float | None


@dataclass(frozen=True, slots=True)
class PoolCounts:
    """Every block is counted exactly once; sealed means owned and promised to a fetcher."""

    num_free: int
    num_cached: int
    num_owned: int
    num_sealed: int
    num_quarantined: int

    @property
    def num_blocks(self) -> int:
        return self.num_free + self.num_cached + self.num_owned + self.num_sealed + self.num_quarantined


class BlockPool:
    """References per block, and what follows from them. `now` is the owner's to set: blocks remember it."""

    def __init__(self, num_blocks: int, index: PrefixIndex | None = None) -> None:
        self.num_blocks = num_blocks
        self._index = index
        self._free = list(range(num_blocks))  # a heap: low numbers first keeps neighbours together for the copies
        self._cached: OrderedDict[int, float] = OrderedDict()  # least recently used first, and since when
        self._refs = [0] * num_blocks
        self._seals = [0] * num_blocks
        self._generations = [0] * num_blocks
        self._quarantined: dict[int, float] = {}
        self._num_sealed = 0
        self.now = 0.0

    @property
    def num_available(self) -> int:
        """Blocks that can be allocated now."""
        return len(self._free) + len(self._cached)

    def generation(self, block: int) -> int:
        """How often the block has been allocated: names its content together with its number."""
        return self._generations[block]

    def refs(self, block: int) -> int:
        return self._refs[block]

    def allocate(self, num: int) -> list[int] | None:
        """Takes `num` blocks with one reference each, or none at all; cached ones are evicted when it must be."""
        if num > self.num_available:
            return None
        while len(self._free) < num:
            self._evict()
        blocks = [heapq.heappop(self._free) for _ in range(num)]
        for block in blocks:
            self._refs[block] = 1
            self._generations[block] += 1
        return blocks

    def retain(self, blocks: Iterable[int]) -> None:
        """One more reference to blocks that hold something: cached or owned ones."""
        for block in blocks:
            if not self._refs[block]:
                if block not in self._cached:
                    raise RuntimeError(f"block {block} holds nothing to retain")
                del self._cached[block]
            self._refs[block] += 1

    def release(self, blocks: Sequence[int]) -> None:
        """One reference less, from the last block to the first."""
        for block in reversed(blocks):
            refs = self._refs[block] - 1
            if refs < self._seals[block]:
                raise RuntimeError(f"block {block} is released more often than it was taken, or while sealed")
            self._refs[block] = refs
            if not refs:
                self._retire(block)

    def seal(self, blocks: Iterable[int]) -> None:
        """Promises one reference of each block to a fetcher."""
        for block in blocks:
            if self._seals[block] >= self._refs[block] or block in self._quarantined:
                raise RuntimeError(f"block {block} cannot be sealed")
            self._num_sealed += not self._seals[block]
            self._seals[block] += 1

    def unseal(self, blocks: Iterable[int]) -> None:
        """Takes the promise back; the reference stays."""
        for block in blocks:
            if not self._seals[block]:
                raise RuntimeError(f"block {block} is not sealed")
            self._seals[block] -= 1
            self._num_sealed -= not self._seals[block]

    def quarantine(self, blocks: Iterable[int]) -> None:
        """A copy may still write into these blocks; releasing them is the proof that none can any more."""
        for block in blocks:
            if self._refs[block] != 1 or self._seals[block] or self._named(block):
                raise RuntimeError(f"block {block} is shared and cannot be quarantined")
            self._quarantined[block] = self.now

    def counts(self) -> PoolCounts:
        num_idle = self.num_available
        num_quarantined = len(self._quarantined)
        num_owned = self.num_blocks - num_idle - num_quarantined - self._num_sealed
        return PoolCounts(len(self._free), len(self._cached), num_owned, self._num_sealed, num_quarantined)

    def oldest(self) -> Oldest:
        return Oldest(next(iter(self._cached.values()), None), next(iter(self._quarantined.values()), None))

    def check(self) -> None:
        """Raises unless every block is in exactly one state and the counts sum to the pool."""
        free = set(self._free)
        states = {"free": free, "cached": set(self._cached), "quarantined": set(self._quarantined)}
        states["sealed"] = {block for block in range(self.num_blocks) if self._seals[block]}
        held = {block for block in range(self.num_blocks) if self._refs[block]}
        states["owned"] = held - states["sealed"] - states["quarantined"]
        counts, total = self.counts(), sum(len(blocks) for blocks in states.values())
        sound = (
            total == self.num_blocks == counts.num_blocks == len(set().union(*states.values()))
            and len(free) == len(self._free)
            and all(len(blocks) == getattr(counts, f"num_{state}") for state, blocks in states.items())
            and all(self._named(block) for block in self._cached)
            and not any(self._named(block) for block in free | states["quarantined"])
            and all(not self._refs[block] for block in free | states["cached"])
            and all(self._refs[block] == 1 for block in self._quarantined)
            and all(0 <= seals <= refs for seals, refs in zip(self._seals, self._refs, strict=True))
        )
        if not sound:
            raise RuntimeError(f"the block pool is not whole: {counts}")

    def _named(self, block: int) -> bool:
        return self._index is not None and block in self._index

    def _retire(self, block: int) -> None:
        if self._named(block):
            self._cached[block] = self.now
        else:
            self._quarantined.pop(block, None)
            heapq.heappush(self._free, block)

    def _evict(self) -> None:
        block, _ = self._cached.popitem(last=False)
        if self._index is not None:
            self._index.remove(block)
        heapq.heappush(self._free, block)
