"""Does what a plan says on a device: one launch for a decode step, and the next one launched before this one is read.

    run(plan n):  n was launched ahead? else launch n -> launch n+1 ahead -> wait for n's tokens

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
from common.engine.draw import draw, is_plain
from common.engine.flight import Flight, is_step, places_of
from common.engine.graphs import Steps
from common.engine.plan import Sampled, SampleRow, StepPlan, StepResult
from common.engine.sampler import Sampler
from common.engine.stage import Stage, copy_blocks
from common.engine.static_batch import StaticBatch
from common.engine.whole_step import WholeStep
from common.kernels.logits import Logits
from common.models.decoder import Decoder

if TYPE_CHECKING:  # what constrains needs packages that choosing does without
    from common.engine.masks import Masks

Int64s = npt.NDArray[np.int64]


@dataclass(slots=True)
class RunCounts:
    """How often the guess was right. A wrong one costs the device a step."""

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
    ) -> None:
        self._decoder = decoder
        self._storage = storage
        self._stage = stage
        self._inputs = inputs
        self._steps = steps
        self._sampler = Sampler(masks)
        self._whole = WholeStep(decoder, storage, stage, self._sampler)
        self._ahead: Flight | None = None
        self.counts = RunCounts()

    @torch.inference_mode()
    def run(self, plan: StepPlan) -> StepResult:
        """One step; what it leaves behind is KV in the pool and the result."""
        began = perf_counter()
        ahead, self._ahead = self._ahead, None
        if not is_step(plan, self._inputs.max_rows):
            self.counts.num_wasted += ahead is not None
            return self._whole.run(plan)
        self.counts.num_steps += 1
        places = None if ahead is None else ahead.cover(plan)
        if not all(map(is_plain, plan.rows)):
            return self._run_here(plan, began)
        if ahead is None or places is None:
            self.counts.num_wasted += ahead is not None
            flight, places = self._launch(plan), np.arange(len(plan.works))
        else:
            self.counts.num_ahead += 1
            flight = ahead
        self._ahead = self._launch_ahead(plan, flight, places)
        launched = perf_counter()
        tokens = flight.wait()[places]
        now = perf_counter()
        sampled = tuple(Sampled(token) if token >= 0 else None for token in tokens.tolist())
        return StepResult(sampled, now - began, kernel_s=now - launched)

    def settle(self) -> None:
        """Returns once nothing launched so far can write into the pool any more."""
        if self._ahead is not None:
            self._ahead.wait()

    def _run_here(self, plan: StepPlan, began: float) -> StepResult:
        """A step some of whose rows are chosen on the host."""
        self._sampler.begin(plan.rows)
        copy_blocks(self._storage.tensor, plan.copies, self._stage.upload)
        self._inputs.fill(plan.works)
        logits = self._decoder.logits(self._steps.run(len(plan.works)))
        launched = perf_counter()
        sampled = self._sampler.choose(Logits.of(logits), range(len(plan.rows)), plan.rows)
        now = perf_counter()
        return StepResult(sampled, now - began, kernel_s=now - launched)

    def _launch(self, plan: StepPlan) -> Flight:
        copy_blocks(self._storage.tensor, plan.copies, self._stage.upload)
        computed = self._inputs.fill(plan.works)
        if not computed.all():
            raise RuntimeError("a plan reaches beyond its block tables")
        return self._flight(plan.rows, places_of(plan.works, computed.tolist(), 0), 0)

    def _launch_ahead(self, plan: StepPlan, flight: Flight, places: Int64s) -> Flight | None:
        """The step after this one, should all its sequences go on; their tokens never leave the device for it."""
        computed = self._inputs.fill(plan.works, (flight.tokens, places))
        if not computed.any():
            return None
        return self._flight(plan.rows, places_of(plan.works, computed.tolist(), 1), 1)

    def _flight(self, rows: Sequence[SampleRow], places: dict[tuple[int, int], int], ahead: int) -> Flight:
        logits = self._decoder.logits(self._steps.run(len(rows)))
        tokens = draw(logits, rows, self._stage, ahead=ahead)
        return Flight(tokens, self._stage.download(tokens), places)
