"""A decode step's inputs at addresses that never change, so that one captured step serves every batch.

Owns the device's copy of the running sequences' tables: only entries that differ from the last step travel. Rows
without a sequence read and write the scratch block. Knows nothing of models.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from common.engine.batch import TableRows
from common.engine.plan import Work
from common.engine.stage import Stage
from common.kernels.batch import Batch

Int64s = npt.NDArray[np.int64]

_TOKENS, _POSITIONS, _BLOCKS, _OFFSETS, _LENGTHS, _SOURCES = range(6)


class StaticBatch:
    """Room for `max_rows` sequences of at most `max_tokens` tokens."""

    def __init__(self, stage: Stage, max_rows: int, max_tokens: int, block_tokens: int, scratch_block: int) -> None:
        self._stage = stage
        self._block_tokens = block_tokens
        self._max_tokens = max_tokens
        self._scratch = scratch_block
        self._rows = TableRows()
        self._host_tables = np.full((max_rows, -(-max_tokens // block_tokens)), scratch_block, dtype=np.int64)
        self._tables = stage.upload(self._host_tables)
        self._values = stage.upload(self._idle(max_rows))
        self._starts = stage.upload(np.arange(max_rows + 1))
        self._host_lengths: tuple[int, ...] = ()

    @property
    def max_rows(self) -> int:
        return len(self._host_tables)

    @property
    def max_blocks(self) -> int:
        return int(self._host_tables.shape[1])

    def fill(self, works: Sequence[Work], drawn: tuple[torch.Tensor, Int64s] | None = None) -> npt.NDArray[np.bool_]:
        """The next step of works of one token each; with `drawn`, the step after it.

        That one's tokens are not known here: `drawn` has them on the device, with the place of each work's. Returns
        which works it computes: one whose table does not reach so far, or that ends there, leaves its row idle.
        """
        count = len(works)
        values = self._idle(self.max_rows)
        starts = np.fromiter((work.start for work in works), np.int64, count) + (drawn is not None)
        reach = np.fromiter((len(work.blocks) for work in works), np.int64, count)
        places, offsets = np.divmod(starts, self._block_tokens)
        fits = (places < reach) & (starts < self._max_tokens)
        num_blocks = np.where(fits, places + 1, 1)
        tables = self._rows.gather(works, num_blocks.tolist())
        values[_TOKENS, :count] = [work.token_ids[0] for work in works]
        rows = np.arange(count)
        values[_BLOCKS, :count] = np.where(fits, tables[rows, num_blocks - 1], self._scratch)
        values[_POSITIONS, :count] = np.where(fits, starts, 0)
        values[_OFFSETS, :count] = np.where(fits, offsets, 0)
        values[_LENGTHS, :count] = np.where(fits, starts + 1, 1)
        if drawn is not None:
            values[_SOURCES, :count] = drawn[1]
        self._values.copy_(self._stage.upload(values), non_blocking=True)
        if drawn is not None:
            torch.index_select(drawn[0], 0, self._values[_SOURCES, :count], out=self._values[_TOKENS, :count])
            self._values[_TOKENS, :count].clamp_(min=0)  # one that had nothing to choose fails when it is read
        self._send_tables(tables)
        self._host_lengths = tuple(values[_LENGTHS, :count].tolist())
        return fits

    def batch(self, num_rows: int, whole: bool = False) -> Batch:
        """The first `num_rows` rows. With `whole` the host's idea of the lengths is the longest there can be, so that
        what is launched by it serves any.
        """
        longest = (self.max_blocks * self._block_tokens,) * num_rows
        return Batch(
            token_ids=self._values[_TOKENS, :num_rows],
            positions=self._values[_POSITIONS, :num_rows],
            slot_blocks=self._values[_BLOCKS, :num_rows],
            slot_offsets=self._values[_OFFSETS, :num_rows],
            query_starts=self._starts[: num_rows + 1],
            kv_lens=self._values[_LENGTHS, :num_rows],
            block_tables=self._tables[:num_rows],
            q_lens=(1,) * num_rows,
            host_kv_lens=longest if whole else self._host_lengths[:num_rows],
            num_decode=num_rows,
        )

    def _idle(self, num_rows: int) -> Int64s:
        values = np.zeros((6, num_rows), dtype=np.int64)
        values[_BLOCKS] = self._scratch
        values[_LENGTHS] = 1
        return values

    def _send_tables(self, tables: Int64s) -> None:
        """A step in sixteen gives a sequence a new block; the other entries are on the device already."""
        count, width = tables.shape
        known = self._host_tables[:count, :width]
        rows, columns = np.nonzero(known != tables)
        if len(rows):
            known[rows, columns] = tables[rows, columns]
            changed = self._stage.upload(np.stack([rows * self.max_blocks + columns, tables[rows, columns]]))
            self._tables.view(-1).index_copy_(0, changed[0], changed[1])
