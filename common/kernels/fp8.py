"""e4m3 by integer arithmetic, for what has no instruction for it: the interpreter, and devices before compute 8.9.

Bit for bit what torch's conversion gives for numbers; both directions keep NaN.
"""

import triton
import triton.language as tl


@triton.jit
def encode_e4m3(x: tl.tensor) -> tl.tensor:
    """float32 to the bits as uint8, rounded to even; beyond 448 is 448."""
    bits = x.to(tl.int32, bitcast=True)
    sign = (bits >> 24) & 0x80
    magnitude = bits & 0x7FFFFFFF
    clamped = tl.minimum(magnitude, 0x43E00000)  # 448.0: bits of positive floats order as integers
    # e4m3's smallest normal number is 2**-6: 3 of 23 fraction bits stay, the exponent's bias falls from 127 to 7
    rounded = (clamped + 0x7FFFF + ((clamped >> 20) & 1)) >> 20
    normal = rounded - (120 << 3)
    # below it steps are 2**-9, which is what float32 has left of its fraction at 2**14
    small = (clamped.to(tl.float32, bitcast=True) + 16384.0).to(tl.int32, bitcast=True) - 0x46800000
    code = tl.where(clamped < 0x3C800000, small, normal)
    code = tl.where(magnitude > 0x7F800000, 0x7F, code)
    return (sign | code).to(tl.uint8)


@triton.jit
def decode_e4m3(code: tl.tensor) -> tl.tensor:
    """uint8 bits to float16, exactly."""
    wide = code.to(tl.int16)
    bits = ((wide & 0x80) << 8) | ((wide & 0x7F) << 7)
    # float16 has 8 more to its exponent's bias; the product is exact, also of e4m3's smallest numbers
    value = bits.to(tl.float16, bitcast=True) * 256.0
    return tl.where((wide & 0x7F) == 0x7F, float("nan"), value).to(tl.float16)
