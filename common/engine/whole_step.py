"""A step with prompts in it, on a device: packed, run op by op, sampled, scored and summed up with one wait at its end.

Owns the way from such a plan to tensors and back. Knows nothing of decode steps.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from time import perf_counter

import numpy as np
import torch

from common.cache.storage import KVStorage
from common.engine.batch import Batcher
from common.engine.device_sampler import DeviceSampler
from common.engine.plan import Sampled, StepPlan, StepResult
from common.engine.runner import sampled_works
from common.engine.score import score
from common.engine.stage import Array, Stage, copy_blocks
from common.kernels.batch import Batch
from common.kernels.blocks import block_checksums
from common.kernels.reference.copy_blocks import as_words
from common.models.decoder import Decoder
from common.types.sampling import TokenLogprobs


class WholeStep:
    """Stateless but for the sampler's counts."""

    def __init__(self, decoder: Decoder, storage: KVStorage, stage: Stage, sampler: DeviceSampler) -> None:
        self._decoder = decoder
        self._storage = storage
        self._stage = stage
        self._sampler = sampler
        self._batcher = Batcher(storage.layout.block_tokens, stage.device)

    @torch.inference_mode()
    def run(self, plan: StepPlan) -> StepResult:
        began = perf_counter()
        self._sampler.begin(plan.rows)
        copy_blocks(as_words(self._storage.tensor), plan.copies, self._stage.upload)
        batch = self._batcher.pack(plan.works, plan.num_decode)
        launched = perf_counter()
        hidden = self._decoder.forward(batch, self._storage.tensor)
        sums = self._sums(plan.final_blocks)
        sampled = self._sample(plan, hidden, batch)
        checksums = () if sums is None else tuple(sums().view(np.uint64).tolist())
        kernel_s = perf_counter() - launched
        scores: tuple[tuple[TokenLogprobs, ...], ...] = ()
        if any(work.score_ids for work in plan.works):
            firsts = np.cumsum([0, *batch.q_lens]).tolist()
            scores = tuple(
                score(self._decoder, work, hidden[first:end])
                for work, (first, end) in zip(plan.works, pairwise(firsts), strict=True)
            )
        return StepResult(sampled, perf_counter() - began, scores, checksums, kernel_s)

    def _sums(self, blocks: Sequence[int]) -> Callable[[], Array] | None:
        if not blocks:
            return None
        ids = self._stage.upload(np.array(blocks, dtype=np.int64))
        return self._stage.download(block_checksums(self._storage.tensor, ids))

    def _sample(self, plan: StepPlan, hidden: torch.Tensor, batch: Batch) -> tuple[Sampled | None, ...]:
        if not plan.rows:
            return ()
        works, places = sampled_works(plan)
        if len(works) < len(hidden):  # not every token's logits are wanted
            hidden = hidden[batch.last_rows[self._stage.upload(np.array(works))]]
        logits = self._decoder.logits(hidden)
        several = places if len(plan.rows) > len(logits) else None  # choices from one work
        return self._sampler.choose(logits, plan.rows, several).read()
