"""What proves that a block's bytes arrived as they left. Knows nothing of where they lie."""

import xxhash
from numpy import uint8
from numpy.typing import NDArray


def block_checksum(block: NDArray[uint8]) -> int:
    """xxh3, 64 bits, over all bytes of one contiguous block."""
    return int(xxhash.xxh3_64_intdigest(block.data))
