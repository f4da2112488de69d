"""What a model says of the next token, with what most rows need of it found on the way."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch


class Logits(NamedTuple):
    """One row for each token whose successor is wanted. Nobody writes into them."""

    values: torch.Tensor  # [R, V] float32
    best: npt.NDArray[np.int64]  # [R] the highest entry, the lowest id among equals
    peaks: npt.NDArray[np.float32]  # [R] its value; NaN where the row has one

    @classmethod
    def of(cls, values: torch.Tensor) -> "Logits":
        """`values` may be on any device."""
        if values.device.type != "cpu":
            ids = values.argmax(dim=1)
            return cls(values, ids.cpu().numpy(), values.gather(1, ids[:, None])[:, 0].cpu().numpy())
        rows = values.numpy()
        best = rows.argmax(axis=1)
        return cls(values, best, rows[np.arange(len(rows)), best])
