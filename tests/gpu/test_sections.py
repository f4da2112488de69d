"""The measurements' own code, over stand-ins: that they run, and compute what they say."""

import contextlib
import json
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from common.types.ids import AttemptId
from common.types.kv import Pair
from kvtransfer.transports.cuda.device_pool import DevicePool
from kvtransfer.transports.cuda.ipc import CudaIpcLender
from kvtransfer.transports.cuda.ipc_fetch import CudaIpcFetcher
from kvtransfer.transports.hello import Hello
from loadtest.gpu import handoff_rows, lender
from loadtest.gpu.bench import BLOCK_TOKENS, Bench, Talks
from loadtest.gpu.closed_loop import go_on
from loadtest.gpu.decode_rows import GREEDY, step_seconds
from loadtest.gpu.engine import LocalEngine
from loadtest.gpu.handoff_rows import hand_over
from loadtest.gpu.lender import FETCHER_EPOCH, LENDER_EPOCH, MAX_TOKENS, NUM_BLOCKS
from tests.cache.fake_driver import FakeDriver, FakeMachine
from tests.gpu.benches import make_bench
from tests.kvtransfer.cuda.devices import FakeQueue
from tests.tiny import reference_greedy, tiny_model

CPU = torch.device("cpu")


def test_steps_are_run_ahead_and_timed() -> None:
    bench = make_bench(FakeDriver(FakeMachine()), Talks.blocks_for(3, 20, 30), (1, 3), 64)
    assert step_seconds(bench, 3, 20, 15) > 0
    assert bench.runner.counts.num_ahead == 14
    assert GREEDY.greedy


def test_a_local_engine_serves_what_it_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = make_bench(FakeDriver(FakeMachine()), 40, (1, 2, 4), 64)
    engine = LocalEngine(bench, 32, 4, 64)
    monkeypatch.setattr("loadtest.gpu.closed_loop.PROMPT", 12)
    monkeypatch.setattr("loadtest.gpu.closed_loop.ANSWER", 5)
    for _ in range(4):
        engine.send(12, 5)
    assert go_on(engine, 0.3) > 0
    assert engine.num_output > 40


@dataclass
class Pipe:
    """The lender in this process: what it says is heard in order."""

    bench: Bench
    fetcher: CudaIpcFetcher
    lending: Bench
    said: deque[dict[str, Any]] = field(default_factory=deque)

    def ask(self, prompt: list[int], budget: int) -> None:
        lender.prefill(self.lending, prompt, budget)

    async def hear(self) -> dict[str, Any]:
        heard: dict[str, Any] = json.loads(json.dumps(self.said.popleft()))
        return heard


@contextlib.asynccontextmanager
async def paired(monkeypatch: pytest.MonkeyPatch, device: torch.device, kv_dtype: str = "auto") -> AsyncIterator[Pipe]:
    """As `handoff_rows.paired`, both ends in this process."""
    machine = FakeMachine()
    lending, landing = (make_bench(FakeDriver(machine), NUM_BLOCKS, (1,), MAX_TOKENS, kv_dtype) for _ in range(2))
    served = CudaIpcLender(pool_of(lending), LENDER_EPOCH)
    await served.start()
    own = pool_of(landing)
    hello = Hello(LENDER_EPOCH, FETCHER_EPOCH, own.layout, own.block_bytes, served.ticket(FETCHER_EPOCH))
    fetcher = await CudaIpcFetcher.connect(served.endpoint(), hello, own)
    pipe = Pipe(landing, fetcher, lending)
    monkeypatch.setattr(lender, "say", lambda **what: pipe.said.append(what))
    yield pipe
    assert await fetcher.fetch(AttemptId("r", 1), list[Pair]())
    await fetcher.close()
    await served.close()


async def test_a_hand_over_gives_the_tokens_of_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    async with paired(monkeypatch, CPU) as pipe:
        for length in (5, 40, 70):
            prompt = [(31 * place + length) % 480 + 5 for place in range(length)]
            found = await hand_over(pipe, prompt, 32, 10)  # type: ignore[arg-type]
            assert found.tokens == reference_greedy(tiny_model("llama"), prompt, 10)
            assert found.prefill_s > 0


async def test_eight_bits_lose_little_on_their_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handoff_rows, "paired", lambda model, device, kv_dtype: paired(monkeypatch, device, kv_dtype))
    row = await handoff_rows.eight_bits("llama", CPU)
    assert row.good, row.measured
    assert row.ratio is not None
    assert row.ratio > 0


def test_a_token_that_no_model_would_say_is_a_loss() -> None:
    prompt, folder = [5, 6, 7, 8], tiny_model("llama")
    tokens = reference_greedy(folder, prompt, 6)
    assert handoff_rows.loss(folder, prompt, tokens) == 0.0
    assert handoff_rows.loss(folder, prompt, [*tokens[:3], (tokens[3] + 1) % 500, *tokens[4:]]) > handoff_rows.MAY_LOSE


def pool_of(bench: Bench) -> DevicePool:
    memory, layout = bench.storage.memory, bench.storage.layout
    assert memory is not None
    blocks = memory.content[: NUM_BLOCKS * layout.block_bytes].view(NUM_BLOCKS, layout.block_bytes)
    return DevicePool(memory, blocks, layout.fingerprint, FakeQueue)


def test_talks_never_share_blocks() -> None:
    talks = Talks(3, 20, 10, GREEDY)
    tables = [set(work.blocks) for work in talks.plan().works]
    assert not set.intersection(*tables)
    assert max(max(table) for table in tables) < Talks.blocks_for(3, 20, 10)
    assert all(len(table) * BLOCK_TOKENS >= 32 for table in tables)
