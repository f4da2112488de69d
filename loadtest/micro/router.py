"""A router's CPU per token, gRPC and HTTP, over that of bare servers that stream the same messages (row C10).

The router is the real process; a decode worker without a model feeds it over the real wire, a token per stream on each
beat. The bare servers keep the same beat, on the same loop, with messages made beforehand. What is counted is each
process's own CPU time, all threads, over a window in which all streams run; sides take turns.
"""

import asyncio
import secrets
import statistics
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from baton.cli.child import Child, ChildSpec
from common.types.resolve import child_environment
from loadtest.bench.grpc_target import GrpcTarget
from loadtest.bench.http_target import HttpTarget
from loadtest.bench.record import Planned, Record
from loadtest.bench.target import Asking, Target
from loadtest.micro._rows import Measured
from loadtest.peers.server import free_address
from loadtest.shapes import random_model

MODELS = Path(".baton/shapes")
NUM_STREAMS, BEAT_MS = 16, 10
WINDOW_S = 2.5
NUM_ROUNDS = 9
ANSWER_TOKENS = 8000
READY_S, RETRY_S = 60.0, 0.3
_SCHEDULED = 2


@dataclass(frozen=True, slots=True)
class Side:
    """A server under measurement."""

    name: str
    target: Target
    pid: int


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one window."""

    us_per_token: float
    tokens_per_message: float


def run() -> list[Measured]:
    """Prints a line per front."""
    return asyncio.run(_run())


async def _run() -> list[Measured]:
    rows = []
    costs: dict[str, list[Cost]] = {}
    async with _sides() as sides:
        for _ in range(NUM_ROUNDS):
            for side in sides:
                costs.setdefault(side.name, []).append(await _window(side))
    print(f"{NUM_STREAMS} streams, a token each every {BEAT_MS} ms; CPU of the server's process")
    for front, must, aim in (("gRPC", 1.3, 1.0), ("HTTP", 1.3, 1.0)):
        own, bare = costs[f"router {front}"], costs[f"bare {front}"]
        ratios = tuple(a.us_per_token / b.us_per_token for a, b in zip(own, bare, strict=True))
        middles = [statistics.median(cost.us_per_token for cost in side) for side in (own, bare)]
        many = statistics.median(cost.tokens_per_message for cost in own)
        print(f"  {front}: router {middles[0]:.1f} us, bare {middles[1]:.1f} us a token", end=" ")
        print(f"({statistics.median(ratios):.2f}); {many:.2f} tokens a message", flush=True)
        what = "bare grpc.aio" if front == "gRPC" else "bare uvicorn"
        rows.append(Measured("C10", f"router CPU per token over {front} / {what}", ratios, "", must, aim, most=True))
        rows.append(Measured("", f"router CPU per token over {front}", tuple(c.us_per_token for c in own), "us"))
    return rows


async def _window(side: Side) -> Cost:
    """All streams are started, then time passes, then they are left."""
    records = [Record(0.0, 1) for _ in range(NUM_STREAMS)]
    plan = [Planned(number, 0.0, "hello", 1, ANSWER_TOKENS) for number in range(NUM_STREAMS)]
    sending = [
        asyncio.create_task(side.target.send(planned, record)) for planned, record in zip(plan, records, strict=True)
    ]
    try:
        async with asyncio.timeout(READY_S):
            while any(len(record.arrivals) < 3 for record in records):
                await asyncio.sleep(0.05)
                if broken := [record.error for record in records if record.error]:
                    raise RuntimeError(f"{side.name}: {broken[0]}")
        before, num_messages, num_tokens = _cpu_s(side.pid), *_counts(records)
        await asyncio.sleep(WINDOW_S)
        after, now_messages, now_tokens = _cpu_s(side.pid), *_counts(records)
    finally:
        for task in sending:
            task.cancel()
        await asyncio.wait(sending)
    made = now_tokens - num_tokens
    return Cost((after - before) / made * 1e6, made / (now_messages - num_messages))


def _counts(records: list[Record]) -> tuple[int, int]:
    """Messages and tokens so far; over HTTP the usage comes last, and a message is taken for a token."""
    messages = sum(len(record.arrivals) for record in records)
    return messages, sum(record.num_output for record in records) or messages


def _cpu_s(pid: int) -> float:
    """User and system time of all the process's threads, in nanoseconds' steps: clock_getcpuclockid(3)'s clock."""
    return time.clock_gettime(~pid << 3 | _SCHEDULED)


@asynccontextmanager
async def _sides() -> AsyncIterator[list[Side]]:
    """Router and feeder, and both bare servers, ready."""
    model = str(random_model("tiny", MODELS))
    environment = child_environment([], {"BATON_CACHE_KEY": secrets.token_hex(16), "GRPC_VERBOSITY": "ERROR"})
    grpc, fleet, http, bare_grpc, bare_http = (free_address() for _ in range(5))
    router = ("router", f"--model={model}", f"--grpc={grpc}", f"--fleet={fleet}", f"--http={http}")
    async with AsyncExitStack() as stack:
        router_pid = await _child(stack, environment, *router)
        await _child(stack, environment, "loadtest.micro._feeder", fleet, model, str(BEAT_MS))
        pids = [
            await _child(stack, environment, "loadtest.micro._bare", kind, address.partition(":")[2], str(BEAT_MS))
            for kind, address in (("grpc", bare_grpc), ("http", bare_http))
        ]
        sides = [
            Side("router gRPC", GrpcTarget(grpc, Asking()), router_pid),
            Side("bare gRPC", GrpcTarget(bare_grpc, Asking()), pids[0]),
            Side("router HTTP", HttpTarget(f"http://{http}", "completions", Asking("tiny-bfloat16")), router_pid),
            Side("bare HTTP", HttpTarget(f"http://{bare_http}", "completions", Asking("m")), pids[1]),
        ]
        for side in sides:
            stack.push_async_callback(side.target.close)
            await _answers(side)
        yield sides


async def _child(stack: AsyncExitStack, environment: Mapping[str, str], module: str, *arguments: str) -> int:
    spec = ChildSpec(module, (sys.executable, "-m", module, *arguments), environment=environment)
    child = await Child.start(spec, lambda name, line: print(f"  {name}: {line}") if "rror" in line else None)
    stack.push_async_callback(child.wait)
    stack.callback(child.kill)
    return child.pid


async def _answers(side: Side) -> None:
    """Returns once a short request is answered."""
    ends, last = time.monotonic() + READY_S, ""
    while time.monotonic() < ends:
        record = Record(0.0, 1)
        await side.target.send(Planned(0, 0.0, "hello", 1, 2), record)
        if record.ok:
            return
        last = record.error
        await asyncio.sleep(RETRY_S)
    raise RuntimeError(f"{side.name} did not answer within {READY_S:g} s: {last}")
