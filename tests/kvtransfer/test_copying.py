"""The inner loop: which blocks go together, and that the checksum is of what was written."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.cache.checksum import block_checksum
from common.types.kv import BlockRef, Pair
from kvtransfer.transports import copying
from kvtransfer.transports.contract import Bytes, Digest, PoolBytes
from kvtransfer.transports.copying import CALL_BYTES, PIECE_BYTES, carried, carry, run_blocks, runs
from kvtransfer.transports.inbox import HostInbox


def test_neighbours_on_both_sides_go_together() -> None:
    numbers = [(4, 0), (5, 1), (6, 2), (8, 3), (9, 5), (10, 6), (3, 7)]
    assert list(runs(numbers, 10)) == [(4, 0, 3), (8, 3, 1), (9, 5, 2), (3, 7, 1)]
    assert list(runs(numbers, 2)) == [(4, 0, 2), (6, 2, 1), (8, 3, 1), (9, 5, 2), (3, 7, 1)]
    assert list(runs([], 5)) == []


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=30), st.integers(1, 5))
def test_runs_cover_every_pair_once_in_order(numbers: list[tuple[int, int]], limit: int) -> None:
    covered: list[tuple[int, int]] = []
    for source, target, length in runs(numbers, limit):
        assert 1 <= length <= limit
        covered += [(source + i, target + i) for i in range(length)]
    assert covered == numbers


@pytest.mark.parametrize("block_bytes", [1, 1000, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES + 5])
@pytest.mark.parametrize("length", [1, 3])
def test_checksums_are_those_of_whole_blocks_however_they_are_cut(block_bytes: int, length: int) -> None:
    source = np.random.default_rng(1).integers(0, 256, (5, block_bytes), np.uint8)
    own = np.zeros_like(source)
    wanted = [block_checksum(block) for block in source[1 : 1 + length]]
    assert list(carry(own, 2, source, 1, length, block_checksum)) == wanted
    assert np.array_equal(own[2 : 2 + length], source[1 : 1 + length])
    assert not own[:2].any()
    assert not own[2 + length :].any()


def test_what_is_hashed_is_the_copy_not_the_source() -> None:
    memory = np.arange(101, dtype=np.uint8).reshape(1, 101)
    own, source = memory[:, 1:], memory[:, :-1]
    wanted = block_checksum(source[0].copy())
    assert list(carry(own, 0, source, 0, 1, block_checksum)) == [wanted]
    assert block_checksum(source[0].copy()) != wanted


def random_blocks(num_blocks: int, block_bytes: int) -> Bytes:
    return np.random.default_rng(num_blocks).integers(0, 256, (num_blocks, block_bytes), np.uint8)


def checksum_by_another_name(block: Bytes) -> int:
    """For which there is no native code."""
    return block_checksum(block)


@pytest.mark.parametrize("digest", [block_checksum, checksum_by_another_name], ids=["native", "in Python"])
@pytest.mark.parametrize("block_bytes", [100, 4099, 40_000])
def test_blocks_go_where_they_belong_with_and_without_native_code(digest: Digest, block_bytes: int) -> None:
    source, own = random_blocks(40, block_bytes), np.zeros((50, block_bytes), np.uint8)
    blocks, targets = [7, 8, 9, 30, 0, 39], [4, 5, 6, 49, 0, 20]
    pairs = [Pair(BlockRef(block, 1, 0), target) for block, target in zip(blocks, targets, strict=True)]
    found = [each for some in carried(HostInbox(PoolBytes(None, own, "")), source, pairs, digest) for each in some]
    assert found == [block_checksum(source[block]) for block in blocks]
    assert np.array_equal(own[targets], source[blocks])
    assert np.flatnonzero(own.any(axis=1)).tolist() == sorted(targets)


def test_who_wants_a_copy_to_stop_is_heard_between_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    assert CALL_BYTES >= 16 * PIECE_BYTES
    monkeypatch.setattr(copying, "CALL_BYTES", 3 * 1000)
    source, own = random_blocks(8, 1000), np.zeros((8, 1000), np.uint8)
    pairs = [Pair(BlockRef(block, 1, 0), block) for block in range(8)]
    copies = carried(HostInbox(PoolBytes(None, own, "")), source, pairs, block_checksum)
    done = 0
    while done < 3:
        done += len(next(copies))
    assert own[:3].any(axis=1).all()
    assert not own[3:].any()


def test_a_run_is_small_enough_for_a_core_and_never_empty() -> None:
    assert run_blocks(PIECE_BYTES * 4) == 1
    assert run_blocks(PIECE_BYTES // 4) == 4
    assert run_blocks(1) == PIECE_BYTES
