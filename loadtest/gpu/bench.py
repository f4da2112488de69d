"""A model with a pool and captured steps, and batches that run on it as a scheduler would ask for them.

Owns nothing of what is measured.
"""

from dataclasses import dataclass

import torch

from common.cache.driver import CudaDriver
from common.cache.storage import KVStorage
from common.engine.device_runner import DeviceRunner
from common.engine.graphs import Graphs
from common.engine.plan import SampleRow, StepPlan, Work
from common.engine.stage import CudaStage
from common.engine.static_batch import StaticBatch
from common.models.decoder import Decoder
from common.types.ids import AttemptId
from common.types.sampling import Sampling

BLOCK_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Bench:
    """`num_blocks` of the storage are lent out by number; block `num_blocks` is scratch."""

    decoder: Decoder
    storage: KVStorage
    stage: CudaStage
    inputs: StaticBatch
    steps: Graphs
    runner: DeviceRunner


def set_up(decoder: Decoder, rungs: tuple[int, ...], max_tokens: int, num_blocks: int) -> Bench:
    """The pool holds random numbers: attention over zeros is not what is served."""
    stage = CudaStage(decoder.device)
    stage.enter()
    layout = decoder.layout(BLOCK_TOKENS, "measured")
    index = decoder.device.index or 0
    storage = KVStorage(layout, num_blocks, driver=CudaDriver(index), num_scratch=1)
    for start in range(0, len(storage.tensor), 256):
        part = storage.tensor[start : start + 256]
        part.copy_(torch.randn(part.shape, device=part.device))
    with torch.inference_mode():
        inputs = StaticBatch(stage, max(rungs), max_tokens, BLOCK_TOKENS, num_blocks)
        steps = Graphs(stage, inputs, lambda batch: decoder.forward(batch, storage.tensor), rungs)
    return Bench(decoder, storage, stage, inputs, steps, DeviceRunner(decoder, storage, stage, inputs, steps))


class Talks:
    """`rows` sequences of `context` tokens that all go on; their tables reach a token further than they must."""

    def __init__(self, rows: int, context: int, num_steps: int, sampling: Sampling) -> None:
        self._width = -(-(context + num_steps + 2) // BLOCK_TOKENS)
        self._rows, self._context, self._sampling = rows, context, sampling
        self._tokens = [[7] * context for _ in range(rows)]
        self._step = 0

    @staticmethod
    def blocks_for(rows: int, context: int, num_steps: int) -> int:
        return rows * -(-(context + num_steps + 2) // BLOCK_TOKENS)

    def plan(self) -> StepPlan:
        works, rows = [], []
        for row in range(self._rows):
            tokens = self._tokens[row]
            table = range(row * self._width, (row + 1) * self._width)
            works.append(Work(row, (tokens[-1],), len(tokens) - 1, table))
            index = len(tokens) - self._context
            rows.append(SampleRow(row, AttemptId("measured", row), 0, index, self._sampling, tokens, self._context))
        return StepPlan(tuple(works), tuple(rows), self._rows)

    def go_on(self, tokens: list[int]) -> None:
        for known, token in zip(self._tokens, tokens, strict=True):
            known.append(token)
