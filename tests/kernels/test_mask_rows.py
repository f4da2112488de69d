"""Masked copies against the plain way of writing them, at sizes that are a multiple of nothing."""

import numpy as np
import pytest

from common.kernels.reference.mask_rows import mask_rows


@pytest.mark.parametrize(
    ("vocabulary", "num_words"), [(1, 1), (31, 1), (32, 1), (33, 2), (257, 9), (509, 40), (1031, 33)]
)
def test_closed_entries_and_no_others(vocabulary: int, num_words: int) -> None:
    random = np.random.default_rng(vocabulary)
    logits = random.standard_normal((5, vocabulary)).astype(np.float32)
    logits[0, 0] = -np.inf
    words = random.integers(-(2**31), 2**31, (3, num_words)).astype(np.int32)
    before, out = logits.copy(), np.full((4, vocabulary), np.nan, dtype=np.float32)
    mask_rows(logits, np.array([4, 0, 0]), words, out, np.array([3, 0, 1]))
    for target, source, row in ((3, 4, words[0]), (0, 0, words[1]), (1, 0, words[2])):
        opened = [bool(int(row[entry // 32]) >> entry % 32 & 1) for entry in range(vocabulary)]
        assert np.array_equal(out[target], np.where(opened, before[source], -np.inf))
    assert np.isnan(out[2]).all()
    assert np.array_equal(logits, before)
