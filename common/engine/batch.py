"""From a step's works to the tensors of its forward pass.

Owns a copy of the running sequences' block tables that lives from step to step, so that a decode step costs little more
than one small gather however long the contexts are. Knows nothing of sampling.
"""

from collections.abc import Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt
import torch

from common.engine.plan import Further, Work
from common.engine.steady import Steady
from common.kernels.batch import Batch

Int64s = npt.NDArray[np.int64]


class TableRows:
    """A copy of each running sequence's block table, by the key of its works: written once, then only appended to."""

    def __init__(self) -> None:
        self._tables = np.zeros((0, 0), dtype=np.int64)
        self._rows: dict[int, int] = {}
        self._num_filled: list[int] = []  # per row; what lies beyond is 0
        self._spare: list[int] = []

    def gather(self, works: Sequence[Work], num_blocks: Sequence[int]) -> Int64s:
        """[S, max(num_blocks)] tables in the order of the works. Forgets every sequence that is not among them."""
        for key in self._rows.keys() - {work.key for work in works}:
            row = self._rows.pop(key)
            self._tables[row, : self._num_filled[row]] = 0
            self._num_filled[row] = 0
            self._spare.append(row)
        self._make_room(len(works), max(num_blocks))
        rows = []
        for work, count in zip(works, num_blocks, strict=True):
            if work.key not in self._rows:
                self._rows[work.key] = self._spare.pop()
            row = self._rows[work.key]
            filled = self._num_filled[row]
            if filled < count:
                self._tables[row, filled:count] = work.blocks[filled:count]
                self._num_filled[row] = count
            rows.append(row)
        return self._tables[rows, : max(num_blocks)]

    def _make_room(self, num_rows: int, num_columns: int) -> None:
        height, width = self._tables.shape
        if num_rows > height or num_columns > width:
            grown = (max(height, 2 * num_rows), max(width, 2 * num_columns))
            self._tables = np.pad(self._tables, ((0, grown[0] - height), (0, grown[1] - width)))
            self._num_filled += [0] * (grown[0] - height)
            self._spare += range(height, grown[0])


class Batcher:
    """Packs the works of one plan at a time."""

    def __init__(self, block_tokens: int, device: torch.device | str = "cpu") -> None:
        self._block_tokens = block_tokens
        self._device = torch.device(device)
        self._tables = TableRows()
        self._steady: Steady | None = None

    def pack(self, works: Sequence[Work], num_decode: int) -> Batch:
        """The first `num_decode` works have one token each. On a CPU the batch is good until the next one is packed."""
        all_decode = num_decode == len(works)
        if all_decode and self._steady is not None and (moved := self._steady.move(works)) is not None:
            return moved
        batch = self._pack(works, num_decode)
        steady = all_decode and self._device.type == "cpu"
        self._steady = Steady(works, batch, self._block_tokens) if steady else None
        return batch

    def go_on(self, further: Further) -> Batch:
        """The works of the last plan, which all had one token each, on a CPU."""
        if self._steady is None:
            raise RuntimeError("there is no step of decode rows to go on from")
        return self._steady.go_on(further)

    def _pack(self, works: Sequence[Work], num_decode: int) -> Batch:
        num_tokens = [len(work.token_ids) for work in works]
        ends = [work.start + count for work, count in zip(works, num_tokens, strict=True)]
        num_blocks = [-(-end // self._block_tokens) for end in ends]
        tables = self._tables.gather(works, num_blocks)
        q_lens = np.array(num_tokens, dtype=np.int64)
        query_starts = np.zeros(len(works) + 1, dtype=np.int64)
        np.cumsum(q_lens, out=query_starts[1:])
        starts = np.array([work.start for work in works], dtype=np.int64)
        rows = np.repeat(np.arange(len(works)), q_lens)
        positions = np.arange(query_starts[-1]) + (starts - query_starts[:-1])[rows]
        places, offsets = np.divmod(positions, self._block_tokens)
        token_ids = np.fromiter(chain.from_iterable(work.token_ids for work in works), np.int64, query_starts[-1])
        return Batch(
            token_ids=self._tensor(token_ids),
            positions=self._tensor(positions),
            slot_blocks=self._tensor(tables[rows, places]),
            slot_offsets=self._tensor(offsets),
            query_starts=self._tensor(query_starts),
            kv_lens=self._tensor(np.array(ends, dtype=np.int64)),
            block_tables=self._tensor(tables),
            q_lens=tuple(num_tokens),
            host_kv_lens=tuple(ends),
            num_decode=num_decode,
        )

    def _tensor(self, array: Int64s) -> torch.Tensor:
        tensor = torch.from_numpy(array)
        # on a CPU even a `to` that does nothing costs a step microseconds, seven times
        if self._device.type == "cpu":
            return tensor
        # from any other memory a copy waits for all that was launched before it, a step ahead included
        return tensor.pin_memory().to(self._device, non_blocking=True)
