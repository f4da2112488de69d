"""The reference's counter-based Gumbel noise on a device: the same hash to the bit, the same noise to its last bits."""

import triton
import triton.language as tl

_UNIT: tl.constexpr = tl.constexpr(2.0**-32 * (1.0 - 2.0**-24))


@triton.jit
def hash_entries(first: tl.tensor, second: tl.tensor, entries: tl.tensor) -> tl.tensor:
    """uint32 per (key, vocabulary entry); all three are uint32."""
    x = entries ^ first
    x = (x ^ (x >> 16)) * 0x7FEB352D
    x = x ^ second
    x = (x ^ (x >> 15)) * 0x846CA68B
    return x ^ (x >> 16)


@triton.jit
def to_gumbel(hashed: tl.tensor) -> tl.tensor:
    """float32. Compile without fused products: the difference below must be of numbers as they were rounded."""
    small = (hashed | 1).to(tl.float32) * _UNIT
    rest = 1.0 - small
    # log1p(-small): what was rounded away from `rest` comes back by the quotient
    lost = tl.where(rest == 1.0, 1.0, 1.0 - rest)
    log1p = tl.where(rest == 1.0, -small, tl.log(rest) * tl.div_rn(small, lost))
    return -tl.log(-log1p)
