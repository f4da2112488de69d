"""What an engine does differently on a device: memory is measured before the pool takes the rest, steps are captured.

Owns the order of it: the largest steps are run over a small pool that is given back, then the pool is made, and on the
engine's own thread the steps are captured. Knows nothing of schedulers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from common.cache.driver import CudaDriver, Driver, DriverError
from common.cache.storage import KVStorage
from common.engine.device_memory_plan import MemoryUse
from common.engine.device_runner import DeviceRunner
from common.engine.exhaustion import Frugal
from common.engine.graphs import Eager, Graphs, Steps, ladder
from common.engine.limits import Limits
from common.engine.meter import CudaMeter, Meter
from common.engine.plan import StepPlan, StepResult
from common.engine.stage import CudaStage, Stage
from common.engine.static_batch import StaticBatch
from common.engine.voice import Voice
from common.engine.warm_up import largest_steps
from common.kernels.batch import Batch
from common.kernels.toolchain import check_launches
from common.models.decoder import Decoder
from common.types.device import Device
from common.types.errors import StartupError
from common.types.kv import KVLayout

if TYPE_CHECKING:  # what constrains needs packages that choosing does without
    from common.engine.masks import Masks

NUM_SCRATCH = 1
CAPTURED_BYTES = 64 << 20
"""The most that the nodes of one captured step are taken for. The driver counts for the whole device, and another
worker on it may be taking its pool just then.
"""


@dataclass(slots=True)
class DeviceGround:
    """One device, and what is told of it. `runner` is there once `open` has run on the engine's thread.

    Only who `decodes` has steps worth capturing, and may guess at the next one: a lender's blocks must not be written
    again once they are summed up.
    """

    make_stage: Callable[[], Stage]
    driver: Driver
    meter: Meter
    voice: Voice
    decodes: bool = True
    runner: DeviceRunner | None = None
    _run: Callable[[StepPlan], StepResult] | None = None
    _captures: bool = True

    def measure(self, decoder: Decoder, layout: KVLayout, limits: Limits) -> MemoryUse:
        """Runs the largest steps there can be, and captures two; everything they took is given back."""
        free, total = self.meter.free(), self.meter.total()
        weights = self.meter.taken()
        try:
            activations, graphs = self._rehearse(decoder, layout, limits)
        except torch.OutOfMemoryError as error:
            raise StartupError(
                f"a step of {limits.token_budget} tokens and {limits.max_sequences} sequences does not fit in the "
                f"{free / 2**30:.1f} GiB that weights of {weights / 2**30:.1f} GiB leave of the device",
                "Lower token_budget or max_sequences, or take a smaller model or dtype",
            ) from error
        finally:
            self.meter.release()
        return MemoryUse(total, free, weights, activations, graphs)

    def make_storage(self, layout: KVLayout, num_blocks: int, available_bytes: int) -> KVStorage:
        return KVStorage(
            layout, num_blocks, available_bytes=available_bytes, driver=self.driver, num_scratch=NUM_SCRATCH
        )

    def open(self, decoder: Decoder, storage: KVStorage, limits: Limits, masks: "Masks | None") -> None:
        """On the thread that will run the steps."""
        stage = self.make_stage()
        stage.enter()
        with torch.inference_mode():
            inputs = _inputs(stage, storage, limits)
            steps = self._steps(stage, inputs, decoder, storage, limits.max_sequences)
        self.runner = DeviceRunner(decoder, storage, stage, inputs, steps, masks, looks_ahead=self.decodes)
        self.runner.warm_up()
        self._run = Frugal(self.runner.run, self.meter.release).run

    def run(self, plan: StepPlan) -> StepResult:
        if self._run is None:
            raise RuntimeError("a step came before the device was ready")
        return self._run(plan)

    def settle(self) -> None:
        if self.runner is not None:
            self.runner.settle()

    def _steps(self, stage: Stage, inputs: StaticBatch, decoder: Decoder, storage: KVStorage, max_rows: int) -> Steps:
        forward = _forward(decoder, storage)
        if not self.decodes or not self._captures:
            return Eager(inputs, forward)
        self.voice.phase("capture")
        rungs = ladder(max_rows)
        graphs = Graphs(stage, inputs, forward, rungs, self.voice.progress or (lambda done, total: None))
        self.voice.say(f"captured decode steps of {', '.join(map(str, rungs))} sequences")
        return graphs

    def _rehearse(self, decoder: Decoder, layout: KVLayout, limits: Limits) -> tuple[int, int]:
        stage = self.make_stage()
        stage.enter()
        length = min(limits.token_budget, limits.max_model_tokens - 1)
        storage = self.make_storage(layout, max(layout.blocks_for(length), limits.max_sequences), self.meter.free())
        try:
            with torch.inference_mode():
                before = self.meter.taken()
                self.meter.mark()
                inputs = _inputs(stage, storage, limits)
                runner = DeviceRunner(decoder, storage, stage, inputs, Eager(inputs, _forward(decoder, storage)))
                for plan in largest_steps(limits, layout, storage.num_blocks):
                    runner.run(plan)
                runner.settle()
                activations = self.meter.peak() - before
                return activations, self._rehearse_graphs(stage, inputs, decoder, storage, limits.max_sequences)
        finally:
            storage.close()

    def _rehearse_graphs(
        self, stage: Stage, inputs: StaticBatch, decoder: Decoder, storage: KVStorage, max_rows: int
    ) -> int:
        """The largest rung takes memory for all; each further one its own nodes."""
        if not self.decodes:
            return 0
        rungs = ladder(max_rows)
        costs, kept = [], []
        try:
            for rows in dict.fromkeys((rungs[-1], rungs[0])):
                self.meter.release()  # a capture does so itself, and what it gave back would hide what it took
                free, taken = self.meter.free(), self.meter.taken()
                kept.append(Graphs(stage, inputs, _forward(decoder, storage), (rows,)))
                own = max(0, self.meter.taken() - taken)
                costs.append(own + min(max(0, free - self.meter.free() - own), CAPTURED_BYTES))
        except RuntimeError as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            self._captures = False
            self.voice.say(f"DECODE STEPS RUN WITHOUT CUDA GRAPHS: capturing failed with {type(error).__name__}")
            return 0
        return costs[0] + (len(rungs) - 1) * costs[-1]


def _inputs(stage: Stage, storage: KVStorage, limits: Limits) -> StaticBatch:
    return StaticBatch(
        stage, limits.max_sequences, limits.max_model_tokens, storage.layout.block_tokens, storage.num_blocks
    )


def cuda_ground(where: Device, voice: Voice) -> DeviceGround:
    """Raises StartupError where there is no such device, or nothing to reach it with."""
    if not torch.cuda.is_available():
        fix = "Pass --device cpu, or see what baton doctor says of the GPU and of this torch"
        raise StartupError("torch finds no GPU that it can use", fix)
    count = torch.cuda.device_count()
    if where.index >= count:
        numbers = "cuda:0" if count == 1 else f"cuda:0 to cuda:{count - 1}"
        raise StartupError(f"there is no device {where} here", f"Choose {numbers}; CUDA_VISIBLE_DEVICES hides others")
    device = torch.device("cuda", where.index)
    try:
        driver = CudaDriver(where.index)
    except (OSError, DriverError) as error:
        raise StartupError("CUDA's driver cannot be used", "See what nvidia-smi says") from error
    check_launches()
    return DeviceGround(lambda: CudaStage(device), driver, CudaMeter(device), voice)


def _forward(decoder: Decoder, storage: KVStorage) -> Callable[[Batch], torch.Tensor]:
    return lambda batch: decoder.forward(batch, storage.tensor)
