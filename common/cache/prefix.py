"""Which block holds which text: chained keyed hashes -> block. Knows nothing of tensors, or of who holds a block.

A block is named by everything before it and its own tokens, under the deployment's key and the tenant's salt. A name is
only a claim: every hit is compared with the tokens stored beside it.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from common.types.hashing import block_hash, root_hash, wire_hash


@dataclass(frozen=True, slots=True)
class Entry:
    """One full block: its name, its parent's name, its own tokens as int32 bytes, and where its KV lies."""

    digest: bytes
    parent: bytes
    tokens: bytes
    block: int


@dataclass(frozen=True, slots=True)
class HashDeltas:
    """Wire hashes that came and went since the last report; none in both."""

    added: tuple[int, ...] = ()
    removed: tuple[int, ...] = ()


class PrefixIndex:
    """At most one block per name and one name per block.

    An entry may outlive its parent: nothing reaches it then, until the parent's text has been computed again.
    """

    def __init__(self, key: bytes, model_fingerprint: str, block_tokens: int) -> None:
        self.block_tokens = block_tokens
        self._key = key
        self._model_fingerprint = model_fingerprint
        self._by_digest: dict[bytes, Entry] = {}
        self._by_block: dict[int, Entry] = {}
        self._added: dict[int, None] = {}
        self._removed: dict[int, None] = {}

    def __len__(self) -> int:
        return len(self._by_block)

    def __contains__(self, block: int) -> bool:
        return block in self._by_block

    def root(self, salt: bytes) -> bytes:
        """The parent of a tenant's first blocks: blocks of another salt cannot be reached from it."""
        return root_hash(self._key, salt, self._model_fingerprint)

    def hash_blocks(self, root: bytes, token_ids: Sequence[int], num_blocks: int, digests: list[bytes]) -> None:
        """Appends to `digests`, which name the leading blocks of `token_ids`, until there are `num_blocks` of them."""
        parent = digests[-1] if digests else root
        for place in range(len(digests), num_blocks):
            parent = block_hash(self._key, parent, self._block_of(token_ids, place))
            digests.append(parent)

    def match(self, root: bytes, token_ids: Sequence[int], digests: Sequence[bytes]) -> list[int]:
        """The leading blocks of `token_ids` (named by `digests`) whose KV is at hand."""
        blocks: list[int] = []
        parent = root
        for place, digest in enumerate(digests):
            entry = self._by_digest.get(digest)
            if entry is None or entry.parent != parent or entry.tokens != self._bytes_of(token_ids, place):
                break
            blocks.append(entry.block)
            parent = digest
        return blocks

    def publish(self, root: bytes, token_ids: Sequence[int], digests: Sequence[bytes], place: int, block: int) -> int:
        """Offers the block at `place` of a sequence; returns the one that holds this text from now on.

        The first to come keeps the name, so the answer may be another block with the same text. It is the offered one
        also in the case, never seen in practice, that two texts share a name.
        """
        digest, parent = digests[place], digests[place - 1] if place else root
        tokens = self._bytes_of(token_ids, place)
        standing = self._by_digest.get(digest)
        if standing is not None:
            return standing.block if (standing.parent, standing.tokens) == (parent, tokens) else block
        if block in self._by_block:
            raise RuntimeError(f"block {block} already holds another text")
        entry = Entry(digest, parent, tokens, block)
        self._by_digest[digest] = self._by_block[block] = entry
        self._note(wire_hash(digest), self._added, self._removed)
        return block

    def remove(self, block: int) -> None:
        """The block is about to be written with something else."""
        entry = self._by_block.pop(block)
        del self._by_digest[entry.digest]
        self._note(wire_hash(entry.digest), self._removed, self._added)

    @property
    def has_deltas(self) -> bool:
        """Whether anything changed since the last call of `drain_deltas`."""
        return bool(self._added or self._removed)

    def drain_deltas(self) -> HashDeltas:
        """What changed since the last call, for the router's picture of this cache."""
        deltas = HashDeltas(tuple(self._added), tuple(self._removed))
        self._added, self._removed = {}, {}
        return deltas

    @staticmethod
    def _note(name: int, here: dict[int, None], opposite: dict[int, None]) -> None:
        if name in opposite:
            del opposite[name]
        else:
            here[name] = None

    def _block_of(self, token_ids: Sequence[int], place: int) -> Sequence[int]:
        return token_ids[place * self.block_tokens : (place + 1) * self.block_tokens]

    def _bytes_of(self, token_ids: Sequence[int], place: int) -> bytes:
        return array("i", self._block_of(token_ids, place)).tobytes()
