"""A decode step's inputs where they always are: equal to freshly packed ones, with little sent."""

import numpy as np
import pytest
import torch

from common.engine.batch import Batcher
from common.engine.plan import Work
from common.engine.static_batch import StaticBatch
from tests.engine.fake_stage import FakeStage

BLOCK_TOKENS, MAX_TOKENS, SCRATCH = 4, 30, 99


@pytest.fixture
def stage() -> FakeStage:
    return FakeStage()


@pytest.fixture
def inputs(stage: FakeStage) -> StaticBatch:
    return StaticBatch(stage, 6, MAX_TOKENS, BLOCK_TOKENS, SCRATCH)


def work(key: int, start: int, num_blocks: int | None = None, token: int = 7) -> Work:
    count = start // BLOCK_TOKENS + 1 if num_blocks is None else num_blocks
    return Work(key, (token + key,), start, [10 * key + place for place in range(count)])


def check_same(inputs: StaticBatch, works: list[Work]) -> None:
    packed, static = Batcher(BLOCK_TOKENS).pack(works, len(works)), inputs.batch(len(works))
    for name in ("token_ids", "positions", "slot_blocks", "slot_offsets", "kv_lens", "query_starts"):
        assert torch.equal(getattr(packed, name), getattr(static, name)), name
    width = packed.block_tables.shape[1]
    assert torch.equal(packed.block_tables, static.block_tables[:, :width])
    assert (packed.q_lens, packed.host_kv_lens, packed.num_decode) == (
        static.q_lens,
        static.host_kv_lens,
        static.num_decode,
    )


def test_inputs_are_what_packing_makes_of_the_same_works(inputs: StaticBatch) -> None:
    for works in (
        [work(1, 0), work(2, 3), work(3, 29)],
        [work(2, 4), work(3, 29), work(4, 11), work(5, 0)],
        [work(5, 1)],
        [work(key, 2 * key) for key in range(6)],
    ):
        assert inputs.fill(works).all()
        check_same(inputs, works)


def test_addresses_stay(inputs: StaticBatch) -> None:
    inputs.fill([work(1, 5)])
    before = inputs.batch(4, whole=True)
    inputs.fill([work(2, 6), work(3, 9)])
    after = inputs.batch(4, whole=True)
    for name in ("token_ids", "positions", "slot_blocks", "slot_offsets", "kv_lens", "block_tables", "query_starts"):
        assert getattr(before, name).data_ptr() == getattr(after, name).data_ptr()


def test_rows_without_a_sequence_touch_the_scratch_block_only(inputs: StaticBatch) -> None:
    inputs.fill([work(1, 5), work(2, 6), work(3, 7)])
    inputs.fill([work(1, 6)])
    idle = inputs.batch(6, whole=True)
    assert idle.slot_blocks[1:].tolist() == [SCRATCH] * 5
    assert idle.kv_lens[1:].tolist() == [1] * 5
    assert idle.positions[1:].tolist() == [0] * 5
    assert idle.host_kv_lens == (32,) * 6


def test_only_what_changed_in_the_tables_travels(inputs: StaticBatch, stage: FakeStage) -> None:
    inputs.fill([work(1, 5, 3), work(2, 6, 3)])
    before = stage.num_uploads
    inputs.fill([work(1, 6, 3), work(2, 7, 3)])
    assert stage.num_uploads == before + 1
    inputs.fill([work(1, 7, 3), work(2, 8, 3)])
    assert stage.num_uploads == before + 3
    check_same(inputs, [work(1, 7, 3), work(2, 8, 3)])


def test_the_step_after_takes_its_tokens_from_the_device(inputs: StaticBatch) -> None:
    works = [work(1, 5, 2), work(2, 6, 3), work(3, 2, 1)]
    inputs.fill(works)
    drawn = torch.tensor([50, -1, 52, 53])
    assert inputs.fill(works, (drawn, np.array([3, 0, 1]))).tolist() == [True, True, True]
    batch = inputs.batch(3)
    assert batch.token_ids.tolist() == [53, 50, 0]
    assert batch.positions.tolist() == [6, 7, 3]
    assert batch.kv_lens.tolist() == [7, 8, 4]
    assert batch.host_kv_lens == (7, 8, 4)


def test_where_the_tables_end_the_step_after_is_idle(inputs: StaticBatch) -> None:
    works = [work(1, 7, 2), work(2, 7, 3), work(3, 29, 8)]
    drawn = (torch.tensor([1, 2, 3]), np.arange(3))
    assert inputs.fill(works, drawn).tolist() == [False, True, False]
    batch = inputs.batch(3)
    assert batch.slot_blocks.tolist() == [SCRATCH, 22, SCRATCH]
    assert batch.positions.tolist() == [0, 8, 0]
