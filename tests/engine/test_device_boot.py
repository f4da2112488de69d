"""An engine on a device, from a configuration to its answers, with everything but the device itself."""

from collections.abc import Callable
from dataclasses import replace
from queue import Queue

import numpy as np
import pytest
import torch

from common.engine.boot import Engine, Machine, boot
from common.engine.device_ground import CAPTURED_BYTES, cuda_ground
from common.engine.device_memory_plan import RESERVE_BYTES, MemoryUse
from common.engine.graphs import Graphs, ladder
from common.engine.loop import Scheduler
from common.engine.messages import BlocksReady, Event, Sealed, StepTokens, Submit, SubmitLocal
from common.engine.voice import Voice
from common.kernels.blocks import block_checksums
from common.types.config import WorkerConfig
from common.types.device import Device
from common.types.errors import StartupError
from common.types.sampling import Sampling
from tests.engine.attempts import attempt
from tests.engine.fake_ground import MIB, FakeGround, FakeMeter
from tests.engine.test_boot import configure, decode, prefill
from tests.models.loop import random_prompts
from tests.tiny import reference_greedy, tiny_model

WAIT_S = 30.0  # only ever reached by a test that fails


class Start:
    """One start-up on a fake device."""

    def __init__(self) -> None:
        self.ground = FakeGround()
        self.lines: list[str] = []
        self.phases: list[str] = []
        self.progress: list[tuple[int, int]] = []
        self.events: Queue[Event] = Queue()
        self.crashes: Queue[BaseException] = Queue()

    def boot(self, config: WorkerConfig, make: Callable[..., Scheduler] = decode, decodes: bool = True) -> Engine:
        def on_events(events: tuple[Event, ...]) -> None:
            for event in events:
                self.events.put(event)

        def progress(done: int, total: int) -> None:
            self.progress.append((done, total))

        voice = Voice(self.phases.append, self.lines.append, progress)
        machine = Machine(lambda: pytest.fail("the host's memory is not asked for"), 1)
        return boot(config, make, on_events, self.crashes.put, machine, voice, self.ground.open, decodes=decodes)

    def tokens(self) -> list[int]:
        found: list[int] = []
        while True:
            event = self.events.get(timeout=WAIT_S)
            if isinstance(event, StepTokens):
                found += [token.token_id for _, token in event.rows]
                if any(token.finish is not None for _, token in event.rows):
                    return found


def on_device(**more: object) -> WorkerConfig:
    return replace(configure(), device="cuda:1", max_sequences=5, token_budget=128, **more)  # type: ignore[arg-type]


def test_it_answers_like_transformers_from_captured_steps() -> None:
    start = Start()
    engine = start.boot(on_device())
    [prompt] = random_prompts(engine.model.vocab_size, (40,))
    engine.loop.post(SubmitLocal(attempt("a", prompt, sampling=Sampling(temperature=0.0, max_tokens=20))))
    assert start.tokens() == reference_greedy(tiny_model("llama"), prompt, 20)
    stage = start.ground.stages[-1]
    engine.close()
    assert start.crashes.empty()
    assert start.ground.opened == [Device("cuda", 1)]
    assert stage.num_captures == len(ladder(5))
    assert stage.num_replays >= 19
    assert not start.ground.driver.allocated, "the pools were given back"


def test_a_lender_captures_nothing_and_never_writes_what_it_has_summed_up() -> None:
    start = Start()
    engine = start.boot(on_device(), prefill, decodes=False)
    for name, length in (("a", 40), ("b", 33), ("c", 48), ("d", 1)):
        engine.loop.post(Submit(attempt(name, range(5, 5 + length)), lend=True))
    sums: dict[int, int] = {}
    num_sealed = 0
    while num_sealed < 4:
        event = start.events.get(timeout=WAIT_S)
        num_sealed += isinstance(event, Sealed)
        if isinstance(event, BlocksReady):
            sums |= {ref.block: ref.checksum for ref in event.refs}
    blocks = torch.tensor(list(sums))
    assert block_checksums(engine.storage.tensor, blocks).numpy().view(np.uint64).tolist() == list(sums.values())
    assert start.ground.stages[-1].num_captures == 0
    assert "capture" not in start.phases
    engine.close()


def test_it_says_what_the_memory_went_to_and_how_far_capturing_is() -> None:
    start = Start()
    engine = start.boot(on_device(num_blocks=0))
    engine.close()
    [memory] = [line for line in start.lines if line.startswith("device memory")]
    assert "90% of 2.00 is 1.80, less weights 0.00" in memory or "are free after weights" in memory
    assert f"the largest step {40 / 1024:.2f}" in memory
    assert "captured decode steps of 1, 2, 4, 5 sequences" in start.lines
    assert start.phases.index("measure") < start.phases.index("probe") < start.phases.index("capture")
    assert start.progress[-1] == (4, 4)


def test_what_another_worker_takes_meanwhile_is_not_held_for_a_graph() -> None:
    start = Start()
    start.ground.meter = FakeMeter(total_bytes=1 << 50, free_bytes=1 << 50, graph_bytes=40 << 30)
    engine = start.boot(on_device())
    [memory] = [line for line in start.lines if line.startswith("device memory")]
    assert f"graphs {len(ladder(5)) * CAPTURED_BYTES / 2**30:.2f}" in memory
    engine.close()


def test_the_pool_takes_what_is_left_and_no_more() -> None:
    start = Start()
    start.ground.meter = FakeMeter(total_bytes=512 * MIB, free_bytes=600 * MIB, graph_bytes=0)
    engine = start.boot(on_device(num_blocks=0, max_model_tokens=4096, device_share=0.625))
    most = 320 * MIB - 3 * MIB - 40 * MIB - RESERVE_BYTES
    assert most - engine.layout.block_bytes < engine.storage.num_bytes <= most
    engine.close()


def test_a_device_that_cannot_capture_serves_all_the_same_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(Graphs, "__init__", refuse)
    start = Start()
    engine = start.boot(on_device())
    assert "DECODE STEPS RUN WITHOUT CUDA GRAPHS: capturing failed with RuntimeError" in start.lines
    engine.loop.post(SubmitLocal(attempt("a", [5, 6, 7], sampling=Sampling(temperature=0.0, max_tokens=4))))
    assert start.tokens() == reference_greedy(tiny_model("llama"), [5, 6, 7], 4)
    engine.close()


def test_a_step_too_large_for_the_device_is_told_with_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*arguments: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr("common.engine.whole_step.WholeStep.run", exhausted)
    start = Start()
    with pytest.raises(StartupError, match=r"a step of 128 tokens and 5 sequences does not fit.*Lower token_budget"):
        start.boot(on_device())
    assert not start.ground.driver.allocated
    assert start.ground.meter.num_releases


def test_too_little_left_for_a_sequence_is_told() -> None:
    start = Start()
    start.ground.meter = FakeMeter(free_bytes=296 * MIB, graph_bytes=0)
    with pytest.raises(StartupError, match="the KV pool would hold"):
        start.boot(on_device(num_blocks=0))


def test_a_gpu_that_torch_cannot_use_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(StartupError, match=r"torch finds no GPU that it can use\. Pass --device cpu"):
        cuda_ground(Device("cuda"), Voice())


@pytest.mark.parametrize(("count", "choice"), [(1, "Choose cuda:0;"), (4, "Choose cuda:0 to cuda:3;")])
def test_a_device_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, count: int, choice: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    with pytest.raises(StartupError, match=rf"there is no device cuda:7 here\. {choice}"):
        cuda_ground(Device("cuda", 7), Voice())


def test_the_arithmetic_of_a_device() -> None:
    gib = 1 << 30
    use = MemoryUse(140 * gib, 120 * gib, 15 * gib, 2 * gib, gib // 2)
    assert use.room(0.9) == int(140 * gib * 0.9) - 15 * gib - 2 * gib - gib // 2 - RESERVE_BYTES
    assert use.describe(0.9) == (
        "device memory: 90% of 140.00 is 126.00, less weights 15.00, the largest step 2.00, graphs 0.50, reserve 0.25: "
        "108.25 GiB are left for KV"
    )
    crowded = MemoryUse(140 * gib, 20 * gib, 15 * gib, 2 * gib, gib // 2)
    assert crowded.room(0.9) == 20 * gib - 2 * gib - gib // 2 - RESERVE_BYTES
    assert crowded.describe(0.9).startswith(
        "device memory: 20.00 of 140.00 are free after weights of 15.00, the largest"
    )
    assert MemoryUse(gib, 0, gib, gib, gib).room(0.9) == 0
