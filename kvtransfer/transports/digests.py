"""How a lender sums its blocks up: on the host or on its device. A fetcher that copies on the host computes either.

Owns the numbers that name a way on the wire.
"""

from functools import cache

import numpy as np

from common.cache.checksum import block_checksum
from common.kernels.reference.copy_blocks import FIRST_FACTOR, SECOND_FACTOR
from kvtransfer.transports.contract import Bytes, Digest, TransportFailed
from kvtransfer.transports.cuda.device_pool import DevicePool
from kvtransfer.transports.pools import Pool

HOST_SUM, DEVICE_SUM = 0, 1


def device_checksum(block: Bytes) -> int:
    """What a device's kernel computes of one block; a block is a whole number of 8-byte words."""
    first, second = _moves(len(block) // 8)
    halves = block.view(np.uint32)
    low, high = halves[0::2] + first, halves[1::2] + second
    return int((low.astype(np.uint64) * high).sum(dtype=np.uint64))


def digest_kind(pool: Pool) -> int:
    """How whoever fills this pool sums its blocks up: where they lie."""
    return DEVICE_SUM if isinstance(pool, DevicePool) else HOST_SUM


def digest_of(kind: int) -> Digest:
    """Raises `TransportFailed` for a way that is not known here."""
    try:
        return {HOST_SUM: block_checksum, DEVICE_SUM: device_checksum}[kind]
    except KeyError:
        raise TransportFailed("the lender sums its blocks up in a way not known here") from None


@cache
def _moves(num_words: int) -> tuple["np.typing.NDArray[np.uint32]", "np.typing.NDArray[np.uint32]"]:
    places = np.arange(num_words, dtype=np.uint32)
    return places * np.uint32(FIRST_FACTOR), places * np.uint32(SECOND_FACTOR)
