"""Blocks in host memory, copied and summed up in one pass: one native call for as many as there are.

The checksum is `common.cache.checksum`'s, bit for bit. Loads without torch.
"""

from array import array
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from common.kernels.native.library import library

LEAST_BYTES = 241
"""Of a block; `checksum.h` says why."""

Rows = NDArray[np.uint8]  # [num_blocks, block_bytes]


def carry_blocks(own: Rows, rows: Sequence[int], source: Rows, blocks: Sequence[int]) -> list[int] | None:
    """Row `rows[i]` of `own` becomes block `blocks[i]` of `source`; the checksum of each, as it was written.

    Every byte of the source is read once. The interpreter's lock is not held meanwhile. None, and nothing was copied,
    where there is no native code for it.
    """
    fits = _fits(own) and _fits(source) and own.shape[1] == source.shape[1] and not np.may_share_memory(own, source)
    native = library() if fits else None
    if native is None:
        return None
    if len(rows) != len(blocks):
        raise ValueError(f"{len(blocks)} blocks are to be copied to {len(rows)} rows")
    _check_rows(own, rows)
    _check_rows(source, blocks)
    numbers, places, sums = array("q", blocks), array("q", rows), array("Q", bytes(8 * len(blocks)))
    native.baton_carry_blocks(
        *(_address(source), _address(own), own.shape[1]), *(len(blocks), _place(numbers), _place(places), _place(sums))
    )
    return sums.tolist()


def _fits(pool: Rows) -> bool:
    return pool.flags.c_contiguous and pool.shape[1] >= LEAST_BYTES


def _check_rows(pool: Rows, rows: Sequence[int]) -> None:
    if rows and not 0 <= min(rows) <= max(rows) < len(pool):
        raise IndexError(f"a block outside a pool of {len(pool)}")


def _address(pool: Rows) -> int:
    return int(pool.ctypes.data)


def _place(numbers: "array[int]") -> int:
    return numbers.buffer_info()[0]
