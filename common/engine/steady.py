"""The tensors of a decode step, moved on by one token in place while the same sequences go on.

Most steps are like the one before: nothing is allocated for them and nothing is gathered. A plan that goes further than
the one before is not even looked through row by row. Only on a CPU, where a step has read its tensors by the time it
ends.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from common.engine.plan import Further, Work
from common.kernels.batch import Batch

SPARE_BLOCKS = 64
"""Columns that tables may grow by before they are copied: for one stream a copy each costs as much as 16 steps save."""


class Steady:
    """The batch of a step whose works had one token each."""

    def __init__(self, works: Sequence[Work], batch: Batch, block_tokens: int) -> None:
        self._batch = batch
        self._block_tokens = block_tokens
        self._keys = [work.key for work in works]
        self._starts = [work.start for work in works]
        self._token_ids, self._positions = _view(batch.token_ids), _view(batch.positions)
        self._blocks, self._offsets = _view(batch.slot_blocks), _view(batch.slot_offsets)
        self._kv_lens, self._tables = _view(batch.kv_lens), _view(batch.block_tables)
        self._columns = tuple(
            each.numpy() for each in (batch.token_ids, batch.positions, batch.kv_lens, batch.slot_offsets)
        )
        self._width = batch.block_tables.shape[1]
        self._room: torch.Tensor | None = None  # tables with their spare columns, once they have grown wider

    def move(self, works: Sequence[Work]) -> Batch | None:
        """None where these are not the same sequences, each a token further."""
        starts, lens = [work.start for work in works], [start + 1 for start in self._starts]
        if starts != lens or [work.key for work in works] != self._keys:
            return None
        size = self._block_tokens
        begun = [row for row, start in enumerate(starts) if not start % size]
        if begun:
            self._widen(max([starts[row] for row in begun]) // size + 1)
        self._starts = starts
        for row in begun:
            place = starts[row] // size
            self._tables[row, place] = self._blocks[row] = works[row].blocks[place]
        # one by one: after a step nothing of this is in a cache, and numpy's way to a loop is long
        for row, start in enumerate(starts):
            self._token_ids[row] = works[row].token_ids[0]
            self._positions[row] = start
            self._kv_lens[row] = start + 1
            self._offsets[row] = start % size
        self._batch = self._moved(tuple([start + 1 for start in starts]))
        return self._batch

    def go_on(self, further: Further) -> Batch:
        """The same rows, each a token further; none is looked at by itself but those whose table has changed."""
        token_ids, positions, kv_lens, offsets = self._columns
        token_ids[:] = further.token_ids
        positions += 1
        kv_lens += 1
        np.remainder(positions, self._block_tokens, out=offsets)
        for row, place, block in further.entries:
            self._widen(place + 1)
            self._tables[row, place] = block
            if place == self._positions[row] // self._block_tokens:
                self._blocks[row] = block
        self._batch = self._moved(tuple(kv_lens.tolist()))
        return self._batch

    def _widen(self, width: int) -> None:
        """Tables of at least so many columns, the new ones 0."""
        if width <= self._width:
            return
        if self._room is None or width > self._room.shape[1]:
            tables = self._batch.block_tables.numpy()
            spare = np.zeros((len(tables), width - self._width + SPARE_BLOCKS), dtype=np.int64)
            self._room = torch.from_numpy(np.concatenate((tables, spare), axis=1))
        self._width = width
        self._batch = replace(self._batch, block_tables=self._room[:, :width])
        self._tables = _view(self._batch.block_tables)

    def _moved(self, kv_lens: tuple[int, ...]) -> Batch:
        """The same tensors."""
        old = self._batch
        return Batch(
            old.token_ids, old.positions, old.slot_blocks, old.slot_offsets, old.query_starts, old.kv_lens,
            old.block_tables, old.q_lens, kv_lens, old.num_decode, old.wanted,
        )  # fmt: skip


def _view(tensor: torch.Tensor) -> memoryview:
    return tensor.numpy().data
