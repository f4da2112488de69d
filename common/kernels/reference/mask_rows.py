"""Closes the entries of rows of logits that a constraint forbids, on the host: what `token_mask` does on a device.

A byte of bits at a time: one look-up says what to add to eight logits. Knows nothing of where the bits come from.
"""

import numpy as np
import numpy.typing as npt

from common.kernels.reference.gumbel import Float32s

_OPEN = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little").astype(bool)
_TERMS = np.where(_OPEN, np.float32(0), np.float32(-np.inf))  # [256, 8]


def mask_rows(logits: Float32s, rows: npt.NDArray[np.int64], words: npt.NDArray[np.int32]) -> None:
    """Finite entries of row `rows[c]` of `logits` [R, V] stay, or become -inf where their bit of `words[c]` is 0.

    Bit `i % 32` of `words[c, i // 32]` is entry i; there may be more bits than entries.
    """
    vocabulary = logits.shape[1]
    num_bytes = -(-vocabulary // 8)
    terms = np.empty((num_bytes, 8), dtype=np.float32)
    for row, word in zip(rows.tolist(), words, strict=True):
        np.take(_TERMS, word.view(np.uint8)[:num_bytes], axis=0, out=terms)
        logits[row] += terms.reshape(-1)[:vocabulary]
