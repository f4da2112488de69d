"""Pool and index together under any order of use: nothing lost, nothing held twice, leaves evicted before parents."""

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from common.cache.pool import BlockPool
from common.cache.prefix import PrefixIndex
from common.types.hashing import wire_hash

BLOCK_TOKENS = 2
NUM_BLOCKS = 7
TEXTS = st.lists(st.sampled_from([1, 2]), min_size=2, max_size=10)


@dataclass
class Holder:
    """What one sequence would hold."""

    tokens: list[int]
    blocks: list[int]
    digests: list[bytes]
    num_published: int
    generations: list[int] = field(default_factory=list)
    sealed: bool = False
    quarantined: bool = False


class PoolAndIndex(RuleBasedStateMachine):
    """Holders come, publish, share, seal, quarantine and go."""

    def __init__(self) -> None:
        super().__init__()
        self.index = PrefixIndex(b"key", "model", BLOCK_TOKENS)
        self.pool = BlockPool(NUM_BLOCKS, self.index)
        self.root = self.index.root(b"")
        self.holders: list[Holder] = []
        self.texts: dict[int, list[int]] = {}  # named block -> every token up to its end
        self.known: set[int] = set()

    @rule(tokens=TEXTS)
    def begin(self, tokens: list[int]) -> None:
        """Pins what is cached and allocates the rest, or leaves everything as it was."""
        digests: list[bytes] = []
        self.index.hash_blocks(self.root, tokens, len(tokens) // BLOCK_TOKENS, digests)
        hits = self.index.match(self.root, tokens, digests)
        for place, block in enumerate(hits):
            assert self.texts[block] == tokens[: (place + 1) * BLOCK_TOKENS]
        self.pool.retain(hits)
        cached, free = list(self.pool._cached), self.pool.counts().num_free
        wanted = -(-len(tokens) // BLOCK_TOKENS) - len(hits)
        fresh = self.pool.allocate(wanted)
        if fresh is None:
            assert wanted > free + len(cached)
            self.pool.release(hits)
            return
        evicted = cached[: max(0, wanted - free)]
        assert list(self.pool._cached) == cached[len(evicted) :]
        self._check_leaves(evicted)
        blocks = hits + fresh
        generations = [self.pool.generation(block) for block in blocks]
        self.holders.append(Holder(tokens, blocks, digests, len(hits), generations))

    @precondition(lambda self: self.holders)
    @rule(data=st.data())
    def publish(self, data: st.DataObject) -> None:
        """Blocks that became full are named; a text that is already there replaces the own copy."""
        holder = data.draw(st.sampled_from(self.holders))
        if holder.quarantined or holder.sealed:
            return
        for place in range(holder.num_published, len(holder.tokens) // BLOCK_TOKENS):
            own = holder.blocks[place]
            block = self.index.publish(self.root, holder.tokens, holder.digests, place, own)
            if block != own:
                self.pool.retain((block,))
                self.pool.release((own,))
                holder.blocks[place] = block
                holder.generations[place] = self.pool.generation(block)
            self.texts[block] = holder.tokens[: (place + 1) * BLOCK_TOKENS]
        holder.num_published = len(holder.tokens) // BLOCK_TOKENS

    @precondition(lambda self: self.holders)
    @rule(data=st.data())
    def share(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(self.holders))
        if one.quarantined:
            return
        self.pool.retain(one.blocks)
        copy = Holder(one.tokens, list(one.blocks), one.digests, one.num_published, list(one.generations))
        self.holders.append(copy)

    @precondition(lambda self: self.holders)
    @rule(data=st.data())
    def seal(self, data: st.DataObject) -> None:
        holder = data.draw(st.sampled_from(self.holders))
        if not holder.sealed and not holder.quarantined:
            self.pool.seal(holder.blocks)
            holder.sealed = True

    @precondition(lambda self: self.holders)
    @rule(data=st.data())
    def quarantine(self, data: st.DataObject) -> None:
        holder = data.draw(st.sampled_from(self.holders))
        own = holder.blocks[holder.num_published :]
        if holder.sealed or holder.quarantined:
            return
        if any(self.pool.refs(block) > 1 or block in self.index for block in own):  # somebody's, or named by a sharer
            return
        self.pool.release(holder.blocks[: holder.num_published])
        self.pool.quarantine(own)
        holder.blocks, holder.quarantined = own, True
        holder.generations = [self.pool.generation(block) for block in own]

    @precondition(lambda self: self.holders)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        holder = data.draw(st.sampled_from(self.holders))
        self.holders.remove(holder)
        if holder.sealed:
            self.pool.unseal(holder.blocks)
        self.pool.release(holder.blocks)

    @rule()
    def report(self) -> None:
        """Deltas add up to what is there."""
        deltas = self.index.drain_deltas()
        assert not self.known & set(deltas.added)
        assert self.known >= set(deltas.removed)
        self.known = (self.known | set(deltas.added)) - set(deltas.removed)
        assert self.known == {wire_hash(entry.digest) for entry in self.index._by_block.values()}

    @invariant()
    def whole(self) -> None:
        self.pool.check()
        refs = [0] * NUM_BLOCKS
        for holder in self.holders:
            assert [self.pool.generation(block) for block in holder.blocks] == holder.generations
            for block in holder.blocks:
                refs[block] += 1
        assert refs == [self.pool.refs(block) for block in range(NUM_BLOCKS)]
        counts = self.pool.counts()
        assert counts.num_free + counts.num_cached == refs.count(0)

    def _check_leaves(self, evicted: list[int]) -> None:
        gone = {tuple(self.texts.pop(block)) for block in evicted}
        for text in self.texts.values():
            assert not any(tuple(text[: len(parent)]) == parent for parent in gone), "a parent went before its child"

    def teardown(self) -> None:
        for holder in self.holders:
            if holder.sealed:
                self.pool.unseal(holder.blocks)
            self.pool.release(holder.blocks)
        self.pool.check()
        assert self.pool.num_available == NUM_BLOCKS


PoolAndIndex.TestCase.settings = settings(max_examples=150, stateful_step_count=40)
TestPoolAndIndex = PoolAndIndex.TestCase
