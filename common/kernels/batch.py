"""What one forward pass reads: tokens of many sequences packed end to end, and where their KV lives.

Owns the packed form only. Knows nothing of requests, sampling or which blocks are free.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True, slots=True)
class Span:
    """The tokens one sequence computes in this step: positions `start, start + 1, ...`, KV in `blocks`.

    `blocks` is the sequence's block table from its first token on; it must cover the span's last token.
    """

    token_ids: Sequence[int]
    start: int
    blocks: Sequence[int]


@dataclass(frozen=True, slots=True)
class Batch:
    """T tokens of S sequences. The first `num_decode` sequences have exactly one query token each.

    A sequence's `kv_lens` entry counts its tokens up to and including this step's. `q_lens` and `host_kv_lens` repeat
    on the host what the kernels' Python needs, so that nothing has to be read back from a device.
    """

    token_ids: torch.Tensor  # [T] int64
    positions: torch.Tensor  # [T] int64
    slot_blocks: torch.Tensor  # [T] int64: the block a token's KV is written to
    slot_offsets: torch.Tensor  # [T] int64: and its place in that block
    query_starts: torch.Tensor  # [S + 1] int64
    kv_lens: torch.Tensor  # [S] int64
    block_tables: torch.Tensor  # [S, max_blocks] int64, padded with 0
    q_lens: tuple[int, ...]
    host_kv_lens: tuple[int, ...]
    num_decode: int
    wanted: torch.Tensor | None = None  # [R] int64: rows, ascending, whose hidden states are wanted; None: all of them

    @property
    def num_tokens(self) -> int:
        return self.token_ids.shape[0]  # asked in every step, and `len` of a tensor is a function of Python's

    @property
    def num_wanted(self) -> int:
        return self.num_tokens if self.wanted is None else len(self.wanted)

    @property
    def num_sequences(self) -> int:
        return len(self.q_lens)

    @property
    def last_rows(self) -> torch.Tensor:
        """[S] int64: the row of each sequence's last token, whose logits choose the next one."""
        return self.query_starts[1:] - 1

    @classmethod
    def pack(cls, spans: Sequence[Span], block_tokens: int, device: torch.device | str = "cpu") -> "Batch":
        """Packs spans in the given order; decode rows (one token each) must come first to count as such."""
        q_lens = [len(span.token_ids) for span in spans]
        if not spans or min(q_lens) == 0:
            raise ValueError("a batch needs at least one span, and every span at least one token")
        kv_lens = [span.start + length for span, length in zip(spans, q_lens, strict=True)]
        num_blocks = [-(-length // block_tokens) for length in kv_lens]
        tables = np.zeros((len(spans), max(num_blocks)), dtype=np.int64)
        for row, (span, count) in enumerate(zip(spans, num_blocks, strict=True)):
            if len(span.blocks) < count:
                raise ValueError(f"span {row} ends at token {kv_lens[row]} but has {len(span.blocks)} blocks")
            tables[row, :count] = span.blocks[:count]
        lengths = np.array(q_lens, dtype=np.int64)
        query_starts = np.zeros(len(spans) + 1, dtype=np.int64)
        np.cumsum(lengths, out=query_starts[1:])
        rows = np.repeat(np.arange(len(spans)), lengths)
        token_ids = np.fromiter((token for span in spans for token in span.token_ids), np.int64, query_starts[-1])
        first = np.array([span.start for span in spans], dtype=np.int64) - query_starts[:-1]
        positions = np.arange(query_starts[-1]) + first[rows]

        def tensor(array: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(array).to(device)

        return cls(
            token_ids=tensor(token_ids),
            positions=tensor(positions),
            slot_blocks=tensor(tables[rows, positions // block_tokens]),
            slot_offsets=tensor(positions % block_tokens),
            query_starts=tensor(query_starts),
            kv_lens=tensor(np.array(kv_lens, dtype=np.int64)),
            block_tables=tensor(tables),
            q_lens=tuple(q_lens),
            host_kv_lens=tuple(kv_lens),
            num_decode=next((row for row, length in enumerate(q_lens) if length != 1), len(q_lens)),
        )
