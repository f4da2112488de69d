"""How much of a prompt a member holds, told from its hashes."""

from hypothesis import given
from hypothesis import strategies as st

from common.types.hashing import chain, root_hash, wire_hash
from router.prefix import PromptHashes

KEY, SALT, MODEL = b"key", b"tenant", "model"


def held(token_ids: tuple[int, ...], block_tokens: int, *, key: bytes = KEY, salt: bytes = SALT) -> set[int]:
    """What a worker that computed these tokens reports."""
    return {wire_hash(digest) for digest in chain(key, root_hash(key, salt, MODEL), token_ids, block_tokens)}


@given(
    st.lists(st.integers(0, 9), max_size=40).map(tuple),
    st.lists(st.integers(0, 9), max_size=40).map(tuple),
    st.sampled_from([1, 3, 4, 16]),
)
def test_exactly_the_common_full_blocks_count(prompt: tuple[int, ...], other: tuple[int, ...], block: int) -> None:
    common = 0
    while common < min(len(prompt), len(other)) and prompt[common] == other[common]:
        common += 1
    found = PromptHashes(KEY, SALT, MODEL, prompt).num_cached_tokens(held(other, block), block)
    assert found == common // block * block


def test_other_tenants_and_keys_match_nothing() -> None:
    tokens = tuple(range(16))
    prompt = PromptHashes(KEY, SALT, MODEL, tokens)
    assert prompt.num_cached_tokens(held(tokens, 4), 4) == 16
    assert prompt.num_cached_tokens(held(tokens, 4, salt=b"another"), 4) == 0
    assert prompt.num_cached_tokens(held(tokens, 4, key=b"another"), 4) == 0


def test_members_with_other_blocks_are_told_apart() -> None:
    tokens = tuple(range(20))
    prompt = PromptHashes(KEY, SALT, MODEL, tokens)
    assert prompt.num_cached_tokens(held(tokens[:9], 4), 4) == 8
    assert prompt.num_cached_tokens(held(tokens, 8), 8) == 16
    assert prompt.num_cached_tokens(held(tokens, 8), 4) == 0


def test_a_hole_ends_the_hit() -> None:
    tokens = tuple(range(16))
    hashes = held(tokens, 4) - held(tokens[:8], 4) | held(tokens[:4], 4)
    assert PromptHashes(KEY, SALT, MODEL, tokens).num_cached_tokens(hashes, 4) == 4
