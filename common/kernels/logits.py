"""What a model says of the next token, with what most rows need of it found on the way."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from common.kernels.reference.mask_rows import mask_rows


class RowMasks(NamedTuple):
    """Which entries of some rows are closed: they become minus infinity. Rows without a mask are left as they are."""

    rows: npt.NDArray[np.int64]  # [C] each at most once
    words: npt.NDArray[np.int32]  # [C, W] bit `i % 32` of word `i // 32` opens entry i; there may be more than entries

    def pointers(self, num_rows: int, num_entries: int) -> npt.NDArray[np.int64]:
        """[num_rows] where each row's words lie, 0 for a row without; valid as long as these masks live."""
        if self.words.strides[1] != 4 or 32 * self.words.shape[1] < num_entries:
            raise ValueError("the words of a row must lie side by side and have a bit for every entry")
        places = np.zeros(num_rows, dtype=np.int64)
        places[self.rows] = self.words.ctypes.data + np.arange(len(self.rows)) * self.words.strides[0]
        return places


class Logits(NamedTuple):
    """One row for each token whose successor is wanted. Nobody writes into them."""

    values: torch.Tensor  # [R, V] float32
    best: npt.NDArray[np.int64]  # [R] the highest entry, the lowest id among equals
    peaks: npt.NDArray[np.float32]  # [R] its value; not finite where the row holds NaN or infinity, closed or not

    @classmethod
    def of(cls, values: torch.Tensor, masks: RowMasks | None = None) -> "Logits":
        """`values` may be on any device; they are copied where there are masks."""
        if masks is not None:
            order = np.arange(len(masks.rows))
            rows = torch.from_numpy(masks.rows)
            before = values[rows].cpu().numpy()
            left = np.empty_like(before)
            with np.errstate(invalid="ignore"):  # infinity under a mask is no number
                mask_rows(before, order, masks.words, left, order)
            values = values.clone()
            values[rows] = torch.from_numpy(left).to(values.device)
        if values.device.type != "cpu":
            ids = values.argmax(dim=1)
            return cls(values, ids.cpu().numpy(), values.gather(1, ids[:, None])[:, 0].cpu().numpy())
        entries = values.numpy()
        best = entries.argmax(axis=1)
        return cls(values, best, entries[np.arange(len(entries)), best])
