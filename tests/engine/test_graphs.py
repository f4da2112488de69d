"""Captured steps give what launching op by op gives, whatever the batch; and where none fits they say so."""

import pytest
import torch

from common.engine.graphs import Eager, Graphs, ladder
from common.engine.plan import Work
from common.engine.static_batch import StaticBatch
from common.kernels.batch import Batch
from tests.engine.fake_stage import FakeStage


def forward(batch: Batch) -> torch.Tensor:
    return torch.stack([batch.token_ids, batch.positions, batch.kv_lens], dim=1).float()


def make(stage: FakeStage) -> StaticBatch:
    return StaticBatch(stage, 5, 64, 4, 99)


def works(count: int) -> list[Work]:
    return [Work(key, (key + 3,), 2 * key, [key] * 5) for key in range(count)]


def test_graphs_and_eager_agree() -> None:
    stage = FakeStage()
    inputs = make(stage)
    graphs, eager = Graphs(stage, inputs, forward, (1, 2, 5)), Eager(inputs, forward)
    for count in (1, 4, 2, 5, 3):
        inputs.fill(works(count))
        assert torch.equal(graphs.run(count), eager.run(count))
        assert len(graphs.run(count)) == count


def test_each_rung_is_captured_once_and_progress_is_told() -> None:
    stage, told = FakeStage(), list[tuple[int, int]]()
    graphs = Graphs(stage, make(stage), forward, (1, 2, 5), lambda done, total: told.append((done, total)))
    assert (stage.num_captures, told) == (3, [(1, 3), (2, 3), (3, 3)])
    graphs.run(2)
    graphs.run(3)
    assert stage.num_replays == 2


def test_a_batch_above_the_ladder_is_refused() -> None:
    stage = FakeStage()
    with pytest.raises(ValueError, match="no captured step has 4 rows"):
        Graphs(stage, make(stage), forward, (1, 3)).run(4)


@pytest.mark.parametrize("most", [1, 2, 3, 8, 9, 17, 64, 256, 500])
def test_no_rung_computes_much_for_nobody(most: int) -> None:
    rungs = ladder(most)
    assert rungs[-1] == most
    assert rungs == tuple(sorted(set(rungs)))
    for count in range(1, most + 1):
        rung = next(rows for rows in rungs if rows >= count)
        assert rung - count <= max(count, 8) if count <= 16 else rung - count < 32
