"""Where sequences and the block pool meet: block tables are opened, grown, forked, published and freed here only.

Knows nothing of queues, budgets or priorities: it does what it is told, or says that there is no room.
"""

from collections import Counter
from itertools import count
from typing import NamedTuple

from common.cache.pool import BlockPool
from common.cache.prefix import PrefixIndex
from common.engine.messages import PrefixChanged
from common.engine.sequence import Sequence
from common.types.attempt import Attempt


class Room(NamedTuple):
    """Whether a sequence may write, and the (source, target) copy that must come before the step."""

    fits: bool
    copy: tuple[int, int] | None = None


_FITS, _FULL = Room(True), Room(False)


class BlockTables:
    """The tables of one engine's sequences, over one pool and its prefix index."""

    def __init__(self, pool: BlockPool, index: PrefixIndex) -> None:
        self.pool = pool
        self.num_queried_tokens = self.num_hit_tokens = 0
        self._index = index
        self._keys = count(1)
        self._arrivals = count(1)
        self._sources: Counter[int] = Counter()  # references kept for copies of the planned step

    @classmethod
    def create(cls, num_blocks: int, block_tokens: int, cache_key: bytes, model_fingerprint: str) -> "BlockTables":
        index = PrefixIndex(cache_key, model_fingerprint, block_tokens)
        return cls(BlockPool(num_blocks, index), index)

    @property
    def block_tokens(self) -> int:
        return self._index.block_tokens

    @property
    def num_slots(self) -> int:
        """Tokens the whole pool can hold."""
        return self.pool.num_blocks * self.block_tokens

    def blocks_for(self, num_tokens: int) -> int:
        return -(-num_tokens // self.block_tokens)

    def changes(self) -> tuple[PrefixChanged, ...]:
        """What came into and left the prefix index since the last call, as at most one event."""
        if not self._index.has_deltas:
            return ()
        deltas = self._index.drain_deltas()
        return (PrefixChanged(deltas.added, deltas.removed),)

    def sequence(self, attempt: Attempt) -> Sequence:
        """An attempt's common part, with nothing computed and no blocks."""
        root = self._index.root(attempt.cache_salt)
        return Sequence(attempt, None, list(attempt.token_ids), root, next(self._arrivals), next(self._keys))

    def open(self, sequence: Sequence, num_hit_tokens: int, num_spare: int = 0) -> bool:
        """Blocks for all tokens of a sequence that has none; False, and nothing changed, when there is no room.

        Of the first `num_hit_tokens` tokens the full blocks that are cached are taken as they are. `num_spare` blocks
        must be left over.
        """
        num_full = num_hit_tokens // self.block_tokens
        self._index.hash_blocks(sequence.root, sequence.tokens, num_full, sequence.digests)
        hits = self._index.match(sequence.root, sequence.tokens, sequence.digests[:num_full])
        num_fresh = self.blocks_for(len(sequence.tokens)) - len(hits)
        num_idle_hits = sum(not self.pool.refs(block) for block in hits)
        if num_fresh + num_spare > self.pool.num_available - num_idle_hits:
            return False
        self.num_queried_tokens += num_full * self.block_tokens
        self.num_hit_tokens += len(hits) * self.block_tokens
        self.pool.retain(hits)
        sequence.blocks = hits + self._take(num_fresh)
        sequence.key = next(self._keys)
        sequence.num_published = len(hits)
        sequence.num_computed = len(hits) * self.block_tokens
        return True

    def make_room(self, sequence: Sequence, end: int) -> Room:
        """Makes positions `num_computed` to `end` the sequence's own to write, or changes nothing.

        A block shared with a sibling is replaced by a copy; its source stays as it is until `settle`.
        """
        place = sequence.num_computed // self.block_tokens
        num_fresh = self.blocks_for(end) - len(sequence.blocks)
        shared = place < len(sequence.blocks) and self._is_shared(sequence.blocks[place])
        if num_fresh <= 0 and not shared:
            return _FITS
        fresh = self.pool.allocate(max(num_fresh, 0) + shared)
        if fresh is None:
            return _FULL
        copy = None
        if shared:
            copy = (sequence.blocks[place], fresh.pop(0))
            sequence.blocks[place] = copy[1]
            sequence.key = next(self._keys)
            self._sources[copy[0]] += 1
        sequence.blocks += fresh
        return Room(True, copy)

    def settle(self) -> None:
        """The planned step has run (or will not): sources of its copies are let go."""
        if not self._sources:
            return
        for block, num in self._sources.items():
            for _ in range(num):
                self.pool.release((block,))
        self._sources.clear()

    def publish(self, sequence: Sequence, merge: bool) -> None:
        """Names the blocks that became full and lets others find them.

        With `merge`, a block whose text another block already holds is replaced by that one.
        """
        num_full = sequence.num_computed // self.block_tokens
        if num_full == sequence.num_published:
            return
        self._index.hash_blocks(sequence.root, sequence.tokens, num_full, sequence.digests)
        for place in range(sequence.num_published, num_full):
            own = sequence.blocks[place]
            standing = self._index.publish(sequence.root, sequence.tokens, sequence.digests, place, own)
            if merge and standing != own:
                self.pool.retain((standing,))
                self.pool.release((own,))
                sequence.blocks[place] = standing
                sequence.key = next(self._keys)
        sequence.num_published = num_full

    def fork(self, parent: Sequence, choice: int, token_ids: tuple[int, ...]) -> Sequence:
        """A choice that goes on from the parent's last token; every block is shared until one of them writes."""
        self.pool.retain(parent.blocks)
        return Sequence(
            attempt=parent.attempt,
            choice=choice,
            tokens=[*parent.tokens, *token_ids],
            root=parent.root,
            arrival=parent.arrival,
            key=next(self._keys),
            blocks=list(parent.blocks),
            num_computed=parent.num_computed,
            digests=list(parent.digests),
            num_published=parent.num_published,
        )

    def quarantine(self, sequence: Sequence) -> None:
        """Keeps only the blocks a fetch may still write into, out of everybody's reach."""
        hits, fetched = sequence.blocks[: sequence.num_published], sequence.blocks[sequence.num_published :]
        self.pool.release(hits)
        self.pool.quarantine(fetched)
        sequence.blocks = fetched

    def free(self, sequence: Sequence) -> None:
        """Gives all blocks back; the tokens stay, so that they can be computed again."""
        self.pool.release(sequence.blocks)
        sequence.blocks = []
        sequence.num_computed = sequence.num_published = 0

    def _is_shared(self, block: int) -> bool:
        refs = self.pool.refs(block)
        return refs > 1 and refs - self._sources[block] > 1

    def _take(self, num: int) -> list[int]:
        blocks = self.pool.allocate(num)
        if blocks is None:
            raise RuntimeError(f"{num} blocks were counted as available and are not")
        return blocks
