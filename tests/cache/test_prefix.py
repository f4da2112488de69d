"""The prefix index alone: what is found, what is not, and what is reported."""

import pytest

from common.cache.prefix import HashDeltas, PrefixIndex
from common.types.hashing import chain, wire_hash

KEY = b"secret"


def index_of(block_tokens: int = 2) -> PrefixIndex:
    return PrefixIndex(KEY, "model", block_tokens)


def publish(index: PrefixIndex, token_ids: list[int], blocks: list[int], salt: bytes = b"") -> list[int]:
    root, digests = index.root(salt), list[bytes]()
    index.hash_blocks(root, token_ids, len(blocks), digests)
    return [index.publish(root, token_ids, digests, place, block) for place, block in enumerate(blocks)]


def match(index: PrefixIndex, token_ids: list[int], salt: bytes = b"") -> list[int]:
    root, digests = index.root(salt), list[bytes]()
    index.hash_blocks(root, token_ids, len(token_ids) // index.block_tokens, digests)
    return index.match(root, token_ids, digests)


def test_the_longest_known_prefix_is_found() -> None:
    index = index_of()
    publish(index, [1, 2, 3, 4, 5, 6], [7, 8, 9])
    assert match(index, [1, 2, 3, 4, 5, 6, 7]) == [7, 8, 9]
    assert match(index, [1, 2, 3, 4, 9, 9]) == [7, 8]
    assert match(index, [1, 9, 3, 4]) == []
    assert match(index, [1]) == []


def test_names_are_those_the_router_computes() -> None:
    index = index_of()
    publish(index, [1, 2, 3, 4], [0, 1], b"tenant")
    expected = chain(KEY, index.root(b"tenant"), [1, 2, 3, 4], 2)
    assert index.drain_deltas() == HashDeltas(tuple(map(wire_hash, expected)), ())


def test_another_salt_key_or_model_reaches_nothing() -> None:
    index = index_of()
    publish(index, [1, 2], [0], b"tenant a")
    assert match(index, [1, 2], b"tenant a") == [0]
    assert match(index, [1, 2], b"tenant b") == []
    assert index.root(b"") != PrefixIndex(b"other", "model", 2).root(b"")
    assert index.root(b"") != PrefixIndex(KEY, "other", 2).root(b"")


def test_same_tokens_after_another_prefix_are_another_block() -> None:
    index = index_of()
    publish(index, [1, 1, 5, 5], [0, 1])
    publish(index, [2, 2, 5, 5], [2, 3])
    assert match(index, [1, 1, 5, 5]) == [0, 1]
    assert match(index, [2, 2, 5, 5]) == [2, 3]
    assert match(index, [5, 5]) == []


def test_the_first_block_with_a_text_keeps_the_name() -> None:
    index = index_of()
    assert publish(index, [1, 2], [4]) == [4]
    assert publish(index, [1, 2], [5]) == [4]
    assert publish(index, [1, 2], [4]) == [4]
    assert 5 not in index
    assert len(index) == 1


def test_a_name_is_not_believed_without_the_tokens() -> None:
    index = index_of()
    publish(index, [1, 2], [4])
    root, digests = index.root(b""), list[bytes]()
    index.hash_blocks(root, [1, 2], 1, digests)
    assert index.match(root, [3, 4], digests) == []
    assert index.match(index.root(b"x"), [1, 2], digests) == []
    assert index.publish(root, [3, 4], digests, 0, 5) == 5
    assert 5 not in index


def test_a_block_holds_one_text() -> None:
    index = index_of()
    publish(index, [1, 2], [4])
    with pytest.raises(RuntimeError, match="another text"):
        publish(index, [3, 4], [4])


def test_removal_hides_what_follows_until_the_gap_is_closed() -> None:
    index = index_of()
    publish(index, [1, 2, 3, 4], [0, 1])
    index.remove(0)
    assert 0 not in index
    assert match(index, [1, 2, 3, 4]) == []
    assert publish(index, [1, 2, 3, 4], [5, 6]) == [5, 1]
    assert match(index, [1, 2, 3, 4]) == [5, 1]


def test_hashing_goes_on_where_it_stopped() -> None:
    index = index_of()
    root, digests = index.root(b""), list[bytes]()
    index.hash_blocks(root, [1, 2, 3], 1, digests)
    index.hash_blocks(root, [1, 2, 3, 4], 2, digests)
    assert digests == chain(KEY, root, [1, 2, 3, 4], 2)


def test_deltas_name_only_what_stayed_changed() -> None:
    index = index_of()
    first, second = (wire_hash(digest) for digest in chain(KEY, index.root(b""), [1, 2, 3, 4], 2))
    publish(index, [1, 2, 3, 4], [0, 1])
    assert index.drain_deltas() == HashDeltas((first, second), ())
    assert index.drain_deltas() == HashDeltas()
    index.remove(1)
    publish(index, [1, 2, 3, 4], [0, 2])
    assert index.drain_deltas() == HashDeltas()
    index.remove(2)
    assert index.drain_deltas() == HashDeltas((), (second,))
    publish(index, [1, 2, 3, 4], [0, 2])
    index.remove(2)
    assert index.drain_deltas() == HashDeltas()
