"""Packed tensors against the plain way of making them, while sequences come, grow, shrink in number and go."""

import random

import pytest
import torch

from common.engine.batch import Batcher
from common.engine.plan import Work
from common.kernels.batch import Batch, Span


def assert_same(batch: Batch, works: list[Work], block_tokens: int) -> None:
    plain = Batch.pack([Span(work.token_ids, work.start, work.blocks) for work in works], block_tokens)
    for name in ("token_ids", "positions", "slot_blocks", "slot_offsets", "query_starts", "kv_lens", "block_tables"):
        assert torch.equal(getattr(batch, name), getattr(plain, name)), name
        assert getattr(batch, name).dtype == torch.int64
    assert (batch.q_lens, batch.host_kv_lens, batch.num_decode) == (plain.q_lens, plain.host_kv_lens, plain.num_decode)


@pytest.mark.parametrize("block_tokens", [1, 4, 5, 16, 64])
def test_batches_over_a_life_of_sequences(block_tokens: int) -> None:
    generator = random.Random(block_tokens)
    batcher = Batcher(block_tokens)
    lengths: dict[int, int] = {}
    tables: dict[int, list[int]] = {}
    next_key = 1
    for _ in range(150):
        for key in list(lengths):
            if generator.random() < 0.1:
                del lengths[key]
        while len(lengths) < generator.choice((1, 3, 9)):
            lengths[next_key], tables[next_key] = 0, []
            next_key += 1
        decode: list[Work] = []
        chunks: list[Work] = []
        for key, start in lengths.items():
            count = 1 if generator.random() < 0.7 else generator.randrange(2, 40)
            needed = -(-(start + count) // block_tokens) + generator.randrange(3)
            tables[key] += [generator.randrange(500) for _ in range(needed - len(tables[key]))]
            work = Work(key, tuple(generator.randrange(99) for _ in range(count)), start, tables[key])
            (decode if count == 1 else chunks).append(work)
            lengths[key] = start + count
        works = decode + chunks
        assert_same(batcher.pack(works, len(decode)), works, block_tokens)


def test_a_new_key_means_a_new_table() -> None:
    batcher = Batcher(4)
    first = [Work(1, (7,), 8, [3, 4, 5])]
    assert_same(batcher.pack(first, 1), first, 4)
    changed = [Work(2, (7,), 8, [3, 9, 5])]
    assert_same(batcher.pack(changed, 1), changed, 4)


def test_a_sequence_that_sat_out_a_step_is_read_again() -> None:
    batcher = Batcher(4)
    batcher.pack([Work(1, (7,), 8, [3, 4, 5])], 1)
    batcher.pack([Work(2, (7,), 40, list(range(20)))], 1)
    again = [Work(1, (7,), 9, [3, 4, 6])]
    assert_same(batcher.pack(again, 1), again, 4)
