"""Does what a plan says: copies blocks, runs the model once, samples, scores, sums up finished blocks.

Owns the way from a plan to tensors and back. Knows nothing of sequences, of who owns a block, or of why.
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
import torch

from common.cache.checksum import block_checksum
from common.cache.storage import KVStorage
from common.engine.batch import Batcher
from common.engine.plan import Best, Further, StepPlan, StepResult
from common.engine.sampler import Sampler
from common.engine.score import score
from common.models.decoder import Decoder
from common.types.sampling import TokenLogprobs

if TYPE_CHECKING:  # what constrains needs packages that choosing does without
    from common.engine.masks import Masks

OnSums = Callable[[StepPlan, tuple[int, ...]], None]
"""Hears the checksums of a plan's final blocks before the plan's tokens are chosen."""


class Runner:
    """One model over one pool of KV. One thread uses it."""

    def __init__(
        self,
        decoder: Decoder,
        storage: KVStorage,
        masks: "Masks | None" = None,
        on_sums: OnSums = lambda plan, checksums: None,
    ) -> None:
        self._decoder = decoder
        self._storage = storage
        self._on_sums = on_sums
        self._batcher = Batcher(storage.layout.block_tokens, decoder.device)
        self._sampler = Sampler(masks)

    def run(self, plan: StepPlan) -> StepResult:
        """One step; what it leaves behind is KV in the pool and the result."""
        if plan.further is not None:
            return self._go_on(plan.further)
        began = perf_counter()
        self._sampler.begin(plan.rows)
        if plan.copies:
            sources, targets = zip(*plan.copies, strict=True)
            self._storage.tensor[list(targets)] = self._storage.tensor[list(sources)]
        batch = self._batcher.pack(plan.works, plan.num_decode)
        works, places = sampled_works(plan)
        scored = any(work.score_ids for work in plan.works)
        drawn_from = batch.last_rows[works] if len(works) < plan.num_tokens else None
        if not scored:
            batch = batch if drawn_from is None else replace(batch, wanted=drawn_from)
        launched = perf_counter()
        if works and not (scored or plan.final_blocks or self._sampler.awaits_masks):
            found = self._decoder.forward_ranked(batch, self._storage.tensor)
            kernel_s = perf_counter() - launched
            chosen = self._sampler.choose(found, places, plan.rows)
            return StepResult(chosen, perf_counter() - began, kernel_s=kernel_s)
        hidden = self._decoder.forward(batch, self._storage.tensor)
        computed = perf_counter()
        checksums = tuple([self._checksum(block) for block in plan.final_blocks])
        if checksums:
            self._on_sums(plan, checksums)
        summed = perf_counter()
        rows = hidden if not scored or drawn_from is None else hidden[drawn_from]
        ranked = self._decoder.ranked(rows, self._sampler.masks()) if works else None
        kernel_s = computed - launched + perf_counter() - summed  # choosing is Python's and numpy's: around kernels
        sampled = () if ranked is None else self._sampler.choose(ranked, places, plan.rows)
        scores: tuple[tuple[TokenLogprobs, ...], ...] = ()
        if scored:
            firsts = np.cumsum([0, *batch.q_lens]).tolist()
            scores = tuple(
                score(self._decoder, work, hidden[first:end])
                for work, (first, end) in zip(plan.works, pairwise(firsts), strict=True)
            )
        return StepResult(sampled, perf_counter() - began, scores, checksums, kernel_s)

    def _go_on(self, further: Further) -> StepResult:
        began = perf_counter()
        batch = self._batcher.go_on(further)
        launched = perf_counter()
        found = self._decoder.forward_ranked(batch, self._storage.tensor)
        kernel_s = perf_counter() - launched
        return StepResult((), perf_counter() - began, kernel_s=kernel_s, best=Best(found.best, found.peaks))

    def _checksum(self, block: int) -> int:
        content = self._storage.bytes
        if content is not None:
            return block_checksum(content[block])
        return block_checksum(self._storage.tensor[block].cpu().view(torch.uint8).numpy().reshape(-1))


def sampled_works(plan: StepPlan) -> tuple[list[int], list[int]]:
    """Works that any row draws from, in order, and for each row the place of its work among them."""
    works, places = list[int](), list[int]()
    for row in plan.rows:
        if not works or works[-1] != row.work:
            works.append(row.work)
        places.append(len(works) - 1)
    return works, places
