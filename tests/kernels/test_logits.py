"""The best entry of every row."""

import numpy as np
import torch

from common.kernels.logits import Logits, RowMasks


def test_best_takes_the_lowest_id_among_equals_and_shows_what_is_not_a_number() -> None:
    logits = torch.tensor([[0.0, 2.0, 2.0], [1.0, torch.nan, 5.0], [-torch.inf] * 3, [torch.inf, 0.0, torch.nan]])
    _, ids, values = Logits.of(logits)
    assert ids[0] == 1
    assert values[0] == 2
    assert not np.isfinite(values[1:]).any()


def test_best_is_what_a_mask_leaves_and_other_rows_keep_theirs() -> None:
    logits = torch.tensor([[0.0, 2.0, 2.0, 5.0], [1.0, 7.0, 5.0, 7.0], [3.0, 1.0, 2.0, 0.0]])
    before = logits.clone()
    masks = RowMasks(np.array([2, 0]), np.array([[0b0110], [0b0111]], dtype=np.int32))
    values, ids, peaks = Logits.of(logits, masks)
    assert torch.equal(logits, before)
    gone = -torch.inf
    assert values.tolist() == [[0, 2, 2, gone], [1, 7, 5, 7], [gone, 1, 2, gone]]
    assert ids.tolist() == [1, 1, 2]
    assert peaks.tolist() == [2, 7, 2]


def test_a_mask_hides_nothing_that_is_not_a_number() -> None:
    logits = torch.tensor([[0.0, torch.nan], [0.0, torch.inf], [0.0, 1.0]])
    masks = RowMasks(np.arange(3), np.array([[1], [1], [0]], dtype=np.int32))
    assert not np.isfinite(Logits.of(logits, masks).peaks).any()


def test_pointers_name_the_words_of_each_row() -> None:
    words = np.arange(6, dtype=np.int32).reshape(2, 3)
    pointers = RowMasks(np.array([3, 1]), words).pointers(4, 96)
    assert pointers.tolist() == [0, words.ctypes.data + 12, 0, words.ctypes.data]
