"""Does what a plan says on a device: one launch for a decode step, and the next one launched before this one is read.

    run(plan n):  what of n was not launched ahead -> launch n+1 ahead -> wait for n's tokens

So the device computes while the host commits n and plans n+1, and one wait per step is all there is between them.
Owns what is in flight. Knows nothing of sequences, of who owns a block, or of how a step is launched.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from common.cache.storage import KVStorage
from common.engine.device_sampler import DeviceSampler
from common.engine.flight import Flight, Split, is_step, places_of, split
from common.engine.graphs import Steps
from common.engine.plan import Sampled, SampleRow, StepPlan, StepResult, Work
from common.engine.stage import Stage, copy_blocks
from common.engine.static_batch import StaticBatch
from common.engine.whole_step import WholeStep
from common.kernels.reference.copy_blocks import as_words
from common.models.decoder import Decoder
from common.types.sampling import TokenLogprobs

if TYPE_CHECKING:  # what constrains needs packages that choosing does without
    from common.engine.masks import Masks

Int64s = npt.NDArray[np.int64]


@dataclass(slots=True)
class RunCounts:
    """Steps, those of which something had been launched ahead, and launches ahead of which nothing could be used."""

    num_steps: int = 0
    num_ahead: int = 0
    num_wasted: int = 0


class DeviceRunner:
    """One model over one pool of KV on one device. One thread uses it."""

    def __init__(
        self,
        decoder: Decoder,
        storage: KVStorage,
        stage: Stage,
        inputs: StaticBatch,
        steps: Steps,
        masks: "Masks | None" = None,
        *,
        looks_ahead: bool = True,
    ) -> None:
        self._decoder = decoder
        self._storage = storage
        self._stage = stage
        self._inputs = inputs
        self._steps = steps
        self._sampler = DeviceSampler(stage, masks)
        # of its own: its rows are others, and a sampler forgets who is not among a step's
        self._whole = WholeStep(decoder, storage, stage, DeviceSampler(stage, masks))
        self._looks_ahead = looks_ahead
        self._ahead: Flight | None = None
        self.counts = RunCounts()

    @torch.inference_mode()
    def warm_up(self) -> None:
        """What no step of the warm-up does."""
        self._sampler.warm_up(self._decoder.config.vocab_size)

    @torch.inference_mode()
    def run(self, plan: StepPlan) -> StepResult:
        """One step; what it leaves behind is KV in the pool and the result."""
        began = perf_counter()
        ahead, self._ahead = self._ahead, None
        self.counts.num_steps += 1
        decodes = is_step(plan, self._inputs.max_rows)
        foreseen = all(map(_is_foreseen, plan.rows))
        if ahead is not None and (foreseen or not decodes):
            found = split(plan, ahead)
            if found.covered:
                return self._go_on(plan, ahead, found, began)
        self.counts.num_wasted += ahead is not None
        if not decodes:
            return self._whole.run(plan)
        if not foreseen:
            self._sampler.begin(plan.rows)
        flight, places = self._launch(plan), np.arange(len(plan.works))
        if foreseen:
            self._ahead = self._launch_ahead(plan.works, plan.rows, flight.tokens, places)
        launched = perf_counter()
        sampled = flight.wait()
        now = perf_counter()
        return StepResult(sampled, now - began, kernel_s=now - launched)

    def settle(self) -> None:
        """Returns once nothing launched so far can write into the pool any more."""
        if self._ahead is not None:
            self._ahead.wait()

    def _go_on(self, plan: StepPlan, ahead: Flight, found: Split, began: float) -> StepResult:
        """What was launched ahead is taken as it is; who joined, and prompts, are computed beside it."""
        self.counts.num_ahead += 1
        rest = self._whole.run(found.rest) if found.rest.works else None
        works, rows, places = [], [], []
        fresh: list[int] = []  # tokens of who joined: from now on they are launched with the others
        for number, row in enumerate(plan.rows):
            if (place := found.covered.get(row.work)) is not None:
                places.append(place)
            elif rest is not None and self._can_go_on(plan, row.work) and _is_foreseen(row):
                sampled = rest.sampled[found.rest_rows.index(number)]
                places.append(len(ahead.tokens) + len(fresh))
                fresh.append(0 if sampled is None else sampled.token_id)
            else:
                continue
            works.append(plan.works[row.work])
            rows.append(row)
        tokens = ahead.tokens
        if fresh:
            tokens = torch.cat([tokens, self._stage.upload(np.array(fresh, dtype=np.int64))])
        if len(works) <= self._inputs.max_rows:
            self._ahead = self._launch_ahead(works, rows, tokens, np.array(places, dtype=np.int64))
        launched = perf_counter()
        computed = ahead.wait()
        now = perf_counter()
        return _merged(plan, found, computed, rest, now - began, now - launched)

    @staticmethod
    def _can_go_on(plan: StepPlan, work: int) -> bool:
        """Whether a work computed beside the others is a decode row like them."""
        return work < plan.num_decode and sum(row.work == work for row in plan.rows) == 1

    def _launch(self, plan: StepPlan) -> Flight:
        copy_blocks(as_words(self._storage.tensor), plan.copies, self._stage.upload)
        computed = self._inputs.fill(plan.works)
        if not computed.all():
            raise RuntimeError("a plan reaches beyond its block tables")
        return self._flight(plan.rows, places_of(plan.works, computed.tolist(), 0), ahead=False)

    def _launch_ahead(
        self, works: Sequence[Work], rows: Sequence[SampleRow], tokens: torch.Tensor, places: Int64s
    ) -> Flight | None:
        """The step after this one, should all its sequences go on; their tokens never leave the device for it."""
        if not self._looks_ahead:
            return None
        computed = self._inputs.fill(works, (tokens, places))
        if not computed.any():
            return None
        return self._flight(rows, places_of(works, computed.tolist(), 1), ahead=True)

    def _flight(self, rows: Sequence[SampleRow], places: dict[tuple[int, int], int], *, ahead: bool) -> Flight:
        logits = self._decoder.logits(self._steps.run(len(rows)))
        last = self._inputs.batch(len(rows)).token_ids if ahead else None
        chosen = self._sampler.choose(logits, rows, last=last)
        return Flight(chosen.tokens, chosen.read, places)


def _is_foreseen(row: SampleRow) -> bool:
    """Whether the token after the one it asks for can be chosen without the host: a constraint has to read this one."""
    return row.sampling.constraint is None


def _merged(
    plan: StepPlan,
    found: Split,
    ahead: tuple[Sampled | None, ...],
    rest: StepResult | None,
    seconds: float,
    waited_s: float,
) -> StepResult:
    """One result of what was computed ahead and what was computed now."""
    later = {} if rest is None else dict(zip(found.rest_rows, rest.sampled, strict=True))
    sampled = [
        later[number] if row.work not in found.covered else ahead[found.covered[row.work]]
        for number, row in enumerate(plan.rows)
    ]
    if rest is None:
        return StepResult(tuple(sampled), seconds, kernel_s=waited_s)
    scores: tuple[tuple[TokenLogprobs, ...], ...] = ()
    if rest.scores:
        by_work = dict(zip(found.rest_works, rest.scores, strict=True))
        scores = tuple(by_work.get(number, ()) for number in range(len(plan.works)))
    return StepResult(tuple(sampled), seconds, scores, rest.checksums, rest.kernel_s + waited_s)
