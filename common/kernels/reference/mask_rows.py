"""Copies rows of logits without the entries that a constraint forbids, on the host: `token_mask` does it on a device.

A byte of bits at a time: one look-up says what to add to eight logits. Knows nothing of where the bits come from.
"""

import numpy as np
import numpy.typing as npt

from common.kernels.reference.gumbel import Float32s

Int64s = npt.NDArray[np.int64]

_OPEN = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little").astype(bool)
_TERMS = np.where(_OPEN, np.float32(0), np.float32(-np.inf))  # [256, 8]


def mask_rows(logits: Float32s, sources: Int64s, words: npt.NDArray[np.int32], out: Float32s, targets: Int64s) -> None:
    """Row `targets[c]` of `out` becomes row `sources[c]` of `logits`, finite entries whose bit is 0 being -inf there.

    Bit `i % 32` of `words[c, i // 32]` is entry i; there may be more bits than entries. Both matrices are [.., V].
    """
    vocabulary = logits.shape[1]
    num_bytes = -(-vocabulary // 8)
    terms = np.empty((num_bytes, 8), dtype=np.float32)
    for source, target, word in zip(sources.tolist(), targets.tolist(), words, strict=True):
        np.take(_TERMS, word.view(np.uint8)[:num_bytes], axis=0, out=terms)
        np.add(logits[source], terms.reshape(-1)[:vocabulary], out=out[target])
