"""Greedy parity of both legs over CUDA IPC between two processes, and G9: what of the hand-off prefill leaves over."""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from common.engine.limits import Limits
from common.engine.messages import Join, Reserve, Reserved, StepTokens
from common.engine.tables import BlockTables
from common.types.attempt import Attempt, Choice
from common.types.ids import AttemptId
from common.types.kv import BlockRef, Pair
from common.types.sampling import SampledToken, Sampling
from decode_worker.scheduler import DecodeScheduler
from kvtransfer.transports.cuda.ipc_fetch import CudaIpcFetcher
from kvtransfer.transports.hello import Hello
from loadtest.gpu.bench import BLOCK_TOKENS, Bench, set_up
from loadtest.gpu.ceilings import Ceilings
from loadtest.gpu.lender import FETCHER_EPOCH, LENDER_EPOCH, MAX_TOKENS, NUM_BLOCKS, load, pool_on_device
from loadtest.gpu.models import large_name
from loadtest.gpu.rows import Row

PATIENCE_S = 120.0
PARITY = ("llama", "qwen3", "mistral-window")
EIGHT_BITS = "llama"
ANSWER = 24
# how much less likely than the full model's best a token of a pool of eight bits may be, in deviations of its logits
MAY_LOSE = 0.6
PROMPT, BUDGET, NUM_ROUNDS = 2048, 512, 7


@dataclass(frozen=True, slots=True)
class Pairing:
    """A lender in a process of its own, and this process connected to it."""

    process: asyncio.subprocess.Process
    bench: Bench
    fetcher: CudaIpcFetcher

    def ask(self, prompt: list[int], budget: int) -> None:
        if self.process.stdin is None:
            raise RuntimeError("no pipe")
        self.process.stdin.write(json.dumps({"prompt": prompt, "budget": budget}).encode() + b"\n")

    async def hear(self) -> dict[str, Any]:
        return await _hear(self.process)


@dataclass(frozen=True, slots=True)
class Landing:
    """One hand-off: how long prefill took, what of the copy came after it, and the answer's tokens."""

    prefill_s: float
    exposed_s: float
    tokens: list[int]


def measure(device: torch.device, ceilings: Ceilings) -> Iterator[Row]:
    for name in PARITY:
        yield asyncio.run(parity(name, device))
    yield asyncio.run(eight_bits(EIGHT_BITS, device))
    yield from asyncio.run(_exposed(large_name(device), device))


async def parity(name: str, device: torch.device) -> Row:
    from tests.tiny import reference_greedy, tiny_model

    folder = tiny_model(name)
    what = f"greedy parity with transformers float32 over cuda_ipc between two processes, {name}"
    async with paired(str(folder), device) as pairing:
        for length in (5, 40, 257):
            prompt = [(31 * place + length) % 480 + 5 for place in range(length)]
            landing = await hand_over(pairing, prompt, 100, ANSWER)
            expected = reference_greedy(folder, prompt, ANSWER)
            if landing.tokens != expected:
                first = next(
                    at for at, pair in enumerate(zip(landing.tokens, expected, strict=False)) if len({*pair}) > 1
                )
                return Row("K", what, failed=f"prompt of {length} tokens: differs at token {first}")
    return Row("K", what, f"3 prompts, {ANSWER} tokens each")


async def eight_bits(name: str, device: torch.device) -> Row:
    """Not the tokens of the full model, but none that is far from its best, wherever a prompt was cut."""
    from tests.tiny import tiny_model

    folder, worst = tiny_model(name), 0.0
    async with paired(str(folder), device, "fp8") as pairing:
        for length in (5, 40, 257):
            prompt = [(31 * place + length) % 480 + 5 for place in range(length)]
            landing = await hand_over(pairing, prompt, 100, ANSWER)
            worst = max(worst, loss(folder, prompt, landing.tokens))
    what = f"KV of eight bits over cuda_ipc between two processes, {name}: furthest token from the best in float32"
    return Row("K", what, f"{worst:.2f} deviations of its logits", worst, MAY_LOSE)


def loss(folder: Path, prompt: list[int], tokens: list[int]) -> float:
    """Of the token that transformers in float32 finds worst beside its own best, in deviations of the logits."""
    from tests.tiny import reference_logits

    scores = reference_logits(folder, [*prompt, *tokens])[len(prompt) - 1 : -1]
    chosen = scores.gather(1, torch.tensor(tokens)[:, None])[:, 0]
    return float(((scores.max(dim=1).values - chosen) / scores.std(dim=1)).max())


async def _exposed(name: str, device: torch.device) -> list[Row]:
    async with paired(name, device) as pairing:
        landings = []
        for number in range(NUM_ROUNDS):
            prompt = [(number * 7919 + 31 * place) % 30000 + 2 for place in range(PROMPT)]
            landings.append(await hand_over(pairing, prompt, BUDGET, 1))
        speed = await pairing.fetcher.measure(32)
    exposed = median(landing.exposed_s for landing in landings[2:])
    prefill = median(landing.prefill_s for landing in landings[2:])
    measured = f"{exposed * 1e3:.2f} ms after {prefill * 1e3:.0f} ms of prefill; {speed / 1e9:.0f} GB/s verified"
    what = f"hand-off exposed after the last layer, {name}, {PROMPT} tokens in chunks of {BUDGET}"
    return [
        Row("G9", f"{what}, in ms", measured, exposed * 1e3, 1.0),
        Row("G9", "the same over prefill", "", exposed / prefill, 0.01),
    ]


@contextlib.asynccontextmanager
async def paired(model: str, device: torch.device, kv_dtype: str = "auto") -> AsyncIterator[Pairing]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadtest.gpu.lender", model, str(device), kv_dtype),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 24,
    )
    fetcher: CudaIpcFetcher | None = None
    try:
        bench = set_up(load(model, device, kv_dtype), (1,), MAX_TOKENS, NUM_BLOCKS)
        own, said = pool_on_device(bench), await _hear(process)
        hello = Hello(LENDER_EPOCH, FETCHER_EPOCH, own.layout, own.block_bytes, bytes.fromhex(said["ticket"]))
        fetcher = await CudaIpcFetcher.connect(said["endpoint"], hello, own, stall_s=PATIENCE_S)
        yield Pairing(process, bench, fetcher)
    finally:
        if fetcher is not None:
            await fetcher.close()
        if process.returncode is None:
            process.kill()
        await process.wait()


async def hand_over(pairing: Pairing, prompt: list[int], budget: int, num_tokens: int) -> Landing:
    """Blocks are fetched while later chunks compute, then joined and decoded here."""
    bench = pairing.bench
    tables = BlockTables.create(NUM_BLOCKS, BLOCK_TOKENS, b"k" * 32, "measured")
    scheduler = DecodeScheduler(Limits(512, 2, MAX_TOKENS, num_ahead=1), tables)
    sampling = Sampling(temperature=0.0, max_tokens=num_tokens)
    attempt = Attempt(AttemptId("r", 1), tuple(prompt), len(prompt), (Choice(0),), sampling)
    events = scheduler.accept(Reserve(attempt), 0.0)
    [reserved] = [event for event in events if isinstance(event, Reserved)]
    bench.runner.settle()
    targets = list(reserved.blocks)
    pairing.ask(prompt, budget)
    first, copied = 0, 0.0
    while (said := await pairing.hear())["event"] != "done":
        if said["event"] == "ready":
            pairs = [Pair(BlockRef(*ref), targets.pop(0)) for ref in said["refs"]]
            await pairing.fetcher.fetch(attempt.id, pairs)
            copied = time.monotonic()
        elif said["event"] == "first":
            first = said["token"]
    if targets:
        raise RuntimeError("the lender announced too few blocks")
    found = [first]
    scheduler.accept(Join(attempt.id, (SampledToken(0, 0, first),)), 0.0)
    while len(found) < num_tokens and (plan := scheduler.plan(0.0)) is not None:
        for event in scheduler.commit(plan, bench.runner.run(plan), 0.0):
            if isinstance(event, StepTokens):
                found += [token.token_id for _, token in event.rows]
    return Landing(said["prefill_s"], max(0.0, copied - said["computed"]), found)


async def _hear(process: asyncio.subprocess.Process) -> dict[str, Any]:
    if process.stdout is None:
        raise RuntimeError("no pipe")
    async with asyncio.timeout(PATIENCE_S):
        line = await process.stdout.readline()
    if not line:
        raise RuntimeError(f"the lender's process ended with {await process.wait()}")
    said: dict[str, Any] = json.loads(line)
    return said
