"""Counter-based Gumbel noise: a number that depends on (seed, choice, index of the token, vocabulary entry) alone.

Owns the hash and its constants; a change here changes every seeded answer. Always computed on the host with numpy,
whose elementwise functions give an entry the same bits wherever it stands in an array. Knows nothing of logits.
"""

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint32]
Uint32s = npt.NDArray[np.uint32]
Float32s = npt.NDArray[np.float32]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
# 2**-32 less one part in 2**24: the largest hash still maps below 1, so that its logarithm stays finite.
_UNIT = np.float32(2.0**-32 * (1.0 - 2.0**-24))


def _mix64(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def draw_keys(seeds: npt.NDArray[np.uint64], choices: npt.NDArray[np.uint64], indices: npt.NDArray[np.uint64]) -> Keys:
    """[R, 2] uint32: one 64-bit key per row."""
    z = _mix64(seeds + _GOLDEN)
    z = _mix64((z ^ choices) + _GOLDEN)
    z = _mix64((z ^ indices) + _GOLDEN)
    return np.stack([z, z >> np.uint64(32)], axis=1).astype(np.uint32)


def hash_entries(first: Uint32s, second: Uint32s, entries: Uint32s) -> Uint32s:
    """A uniform 32-bit number per (key, vocabulary entry); the arguments are broadcast against each other.

    The multiply and shift constants are those of the public-domain `lowbias32`; half of the key enters between its
    two rounds, so that no two keys yield permutations of the same numbers.
    """
    x = entries ^ first
    shifted = np.right_shift(x, np.uint32(16))
    np.bitwise_xor(x, shifted, out=x)
    np.multiply(x, np.uint32(0x7FEB352D), out=x)
    np.bitwise_xor(x, second, out=x)
    np.right_shift(x, np.uint32(15), out=shifted)
    np.bitwise_xor(x, shifted, out=x)
    np.multiply(x, np.uint32(0x846CA68B), out=x)
    np.right_shift(x, np.uint32(16), out=shifted)
    np.bitwise_xor(x, shifted, out=x)
    return x


def gumbel(first: Uint32s, second: Uint32s, entries: Uint32s) -> Float32s:
    """Standard Gumbel noise, float32; the arguments are broadcast against each other."""
    return to_gumbel(hash_entries(first, second, entries))


def to_gumbel(hashed: Uint32s) -> Float32s:
    """Maps uniform 32-bit numbers to Gumbel noise from -2.9 to 22.2: the smaller the number, the larger the noise.

    Float32 is finest at the small end of the unit interval, and that end decides who wins.
    """
    noise = (hashed | np.uint32(1)).astype(np.float32)
    np.multiply(noise, -_UNIT, out=noise)
    np.log1p(noise, out=noise)
    np.negative(noise, out=noise)
    np.log(noise, out=noise)
    np.negative(noise, out=noise)
    return noise
