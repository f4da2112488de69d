"""Blocks copied and summed up by native code: the checksum is xxh3's, and of what was written."""

import threading

import numpy as np
import pytest
import xxhash

from common.kernels.native import blocks as native
from common.kernels.native.blocks import LEAST_BYTES, Rows, carry_blocks
from common.kernels.native.build import LEVELS
from tests.kernels.native.compiled import compiled

SIZES = [LEAST_BYTES, 255, 256, 257, 1023, 1024, 1025, 1088, 1089, 4096, 4099, 368_640]
"""Around a stripe's and a round's borders, and a real block."""


@pytest.fixture
def level(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Uses the code for one kind of processor."""
    library = compiled(request.param)
    monkeypatch.setattr(native, "library", lambda: library)


def pool(num_blocks: int, block_bytes: int, shift: int = 0) -> Rows:
    """Random blocks that begin so many bytes behind a multiple of 64."""
    memory = np.random.default_rng(block_bytes).integers(0, 256, num_blocks * block_bytes + 128, np.uint8)
    start = -memory.ctypes.data % 64 + shift
    return memory[start : start + num_blocks * block_bytes].reshape(num_blocks, block_bytes)


def sums(rows: Rows) -> list[int]:
    return [xxhash.xxh3_64_intdigest(row.tobytes()) for row in rows]


every_level = pytest.mark.parametrize("level", [level.name for level in LEVELS], indirect=True)


@every_level
@pytest.mark.usefixtures("level")
@pytest.mark.parametrize("shift", [0, 8])
@pytest.mark.parametrize("block_bytes", SIZES)
def test_a_copy_is_whole_and_nothing_else_is_written(block_bytes: int, shift: int) -> None:
    source, own = pool(6, block_bytes, shift), pool(7, block_bytes, shift)
    own[:] = 0xEE
    assert carry_blocks(own, [], source, []) == []
    rows, blocks = [6, 1, 2], [0, 3, 5]
    assert carry_blocks(own, rows, source, blocks) == sums(source[blocks])
    expected = np.full_like(own, 0xEE)
    expected[rows] = source[blocks]
    assert np.array_equal(own, expected)


@every_level
@pytest.mark.usefixtures("level")
@pytest.mark.parametrize("block_bytes", [4096, 4099])
def test_a_torn_block_is_summed_up_as_it_was_written(block_bytes: int) -> None:
    """Somebody writes into the source meanwhile: the copy may be anything, its checksum is its own."""
    source, own = pool(8, block_bytes), pool(8, block_bytes)
    ended = threading.Event()

    def scribble() -> None:
        value = 0
        while not ended.is_set():
            source[:] = value = (value + 1) % 256

    scribbling = threading.Thread(target=scribble)
    scribbling.start()
    try:
        for _ in range(300):
            assert carry_blocks(own, range(8), source, range(8)) == sums(own)
    finally:
        ended.set()
        scribbling.join()


@every_level
@pytest.mark.usefixtures("level")
def test_no_number_leads_out_of_a_pool() -> None:
    source, own = pool(4, 512), pool(3, 512)
    for blocks in ([4], [-1], [0, 4]):
        with pytest.raises(IndexError):
            carry_blocks(own, range(len(blocks)), source, blocks)
    with pytest.raises(IndexError):
        carry_blocks(own, [3], source, [3])
    with pytest.raises(ValueError, match="1 blocks are to be copied to 2 rows"):
        carry_blocks(own, [0, 1], source, [0])


def test_what_native_code_is_not_made_for_is_left_to_the_caller() -> None:
    small, wide = pool(4, LEAST_BYTES - 1), pool(4, 512)
    assert carry_blocks(small, [0], small.copy(), [1]) is None
    assert carry_blocks(pool(4, 300), [0], wide[:, :300], [0]) is None
    assert carry_blocks(pool(4, 600), [0], wide, [1]) is None
    assert carry_blocks(wide[:2], [0], wide[1:], [1]) is None, "they overlap"


def test_without_a_library_callers_go_another_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "library", lambda: None)
    blocks = pool(2, 512)
    assert carry_blocks(blocks.copy(), [0], blocks, [1]) is None
