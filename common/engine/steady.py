"""The tensors of a decode step, moved on by one token in place while the same sequences go on.

Most steps are like the one before: nothing is allocated for them and nothing is gathered. Only on a CPU, where a step
has read its tensors by the time it ends.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from common.engine.plan import Work
from common.kernels.batch import Batch


class Steady:
    """The batch of a step whose works had one token each."""

    def __init__(self, works: Sequence[Work], batch: Batch, block_tokens: int) -> None:
        self._batch = batch
        self._block_tokens = block_tokens
        self._keys = [work.key for work in works]
        self._starts = [work.start for work in works]
        self._token_ids, self._positions = batch.token_ids.numpy(), batch.positions.numpy()
        self._blocks, self._offsets = batch.slot_blocks.numpy(), batch.slot_offsets.numpy()
        self._kv_lens, self._tables = batch.kv_lens.numpy(), batch.block_tables.numpy()

    def move(self, works: Sequence[Work]) -> Batch | None:
        """None where these are not the same sequences, each a token further, or where a table grows wider."""
        starts, lens = [work.start for work in works], [start + 1 for start in self._starts]
        if starts != lens or [work.key for work in works] != self._keys:
            return None
        width = self._tables.shape[1]
        begun = [row for row, start in enumerate(starts) if not start % self._block_tokens]
        if any(starts[row] // self._block_tokens >= width for row in begun):
            return None
        self._starts = starts
        for row in begun:
            place = starts[row] // self._block_tokens
            self._tables[row, place] = self._blocks[row] = works[row].blocks[place]
        self._token_ids[:] = [work.token_ids[0] for work in works]
        self._positions[:] = starts
        np.add(self._positions, 1, out=self._kv_lens)
        np.remainder(self._positions, self._block_tokens, out=self._offsets)
        self._batch = replace(self._batch, host_kv_lens=tuple([start + 1 for start in starts]))
        return self._batch
