"""What a model says of the next token, with what most rows need of it found on the way."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from common.kernels.reference.mask_rows import mask_rows


class RowMasks(NamedTuple):
    """Which entries may be the best of some rows; any entry may be that of the others."""

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

    values: torch.Tensor  # [R, V] float32, whatever a mask says
    best: npt.NDArray[np.int64]  # [R] the highest entry that the row's mask leaves, the lowest id among equals
    peaks: npt.NDArray[np.float32]  # [R] its value; not finite where the row holds NaN or infinity, masked or not

    @classmethod
    def of(cls, values: torch.Tensor, masks: RowMasks | None = None) -> "Logits":
        """`values` may be on any device."""
        if values.device.type != "cpu":
            ids = values.argmax(dim=1)
            best, peaks = ids.cpu().numpy(), values.gather(1, ids[:, None])[:, 0].cpu().numpy()
        else:
            rows = values.numpy()
            best = rows.argmax(axis=1)
            peaks = rows[np.arange(len(rows)), best]
        if masks is not None:
            order = np.arange(len(masks.rows))
            wanted = values[torch.from_numpy(masks.rows)].cpu().numpy()
            left = np.empty_like(wanted)
            with np.errstate(invalid="ignore"):  # infinity under a mask is no number
                mask_rows(wanted, order, masks.words, left, order)
            best[masks.rows] = left.argmax(axis=1)
            peaks[masks.rows] = left[order, best[masks.rows]]
        return cls(values, best, peaks)
