"""The best entry of every row."""

import numpy as np
import torch

from common.kernels.logits import Logits


def test_best_takes_the_lowest_id_among_equals_and_shows_what_is_not_a_number() -> None:
    logits = torch.tensor([[0.0, 2.0, 2.0], [1.0, torch.nan, 5.0], [-torch.inf] * 3, [torch.inf, 0.0, torch.nan]])
    _, ids, values = Logits.of(logits)
    assert ids[0] == 1
    assert values[0] == 2
    assert not np.isfinite(values[1:]).any()
