"""CPU per token from a worker to its router, a batch of 64: one frame per step, and one message per token (row C11).

Both ends are the product's, on one loop over a real connection: from what the engine says of a step to what each
request is told. The time is the process's, so both ends' threads count. A step is sent when the last one has arrived.
"""

import asyncio
import statistics
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Protocol

import uvloop

from baton.v1.decode_pb2_grpc import add_DecodeServicer_to_server
from common.engine.messages import Command, Joined, MoreTokens, Started, SubmitLocal
from common.net.channel import open_channel
from common.net.near_entry import NearEntry
from common.net.server import bind, make_server
from common.obs.traces import NoTraces
from common.types.attempt import Attempt, Choice
from common.types.frame import frame_of
from common.types.ids import PROTOCOL_MAJOR, AttemptId, Role
from common.types.kv import KVLayout
from common.types.member import Hello
from common.types.sampling import SampledToken, Sampling
from common.types.timeouts import Timeouts
from decode_worker.decoding import Decoding
from decode_worker.service_decode import DecodeService
from loadtest.micro._feeder import FIRST_LETTER, Feeding
from loadtest.micro._rows import Measured
from router.events import LegEvent, Tokens
from router.session import Session

BATCH = 64
NUM_STEPS = 60
NUM_ROUNDS = 7
EPOCH, ROUTER_EPOCH = 1, 2
PATIENCE_S = 30.0


class Steps(Protocol):
    """A worker's deliveries, and the engine that says what there is to deliver."""

    def __len__(self) -> int:
        """Attempts that run."""
        ...

    def beat(self) -> None:
        """A token for each of them."""
        ...


class Stretching(Decoding):
    """The product's, told of one long stretch of steps; every attempt joins at once."""

    def __init__(self) -> None:
        layout = KVLayout("f", 1, 1, 16, 64, "bfloat16")
        super().__init__(self._take, None, layout, Timeouts(), lambda: None, NoTraces())  # type: ignore[arg-type]
        self._ids: tuple[AttemptId, ...] = ()
        self._num_steps = 0

    def __len__(self) -> int:
        return len(self._ids)

    def beat(self) -> None:
        zeros, letters = (0,) * len(self), [FIRST_LETTER] * len(self)
        if not self._num_steps:
            for id in self._ids:
                self.on_events((Started(id, 0, 0.0), Joined(id)))
        self.on_events((MoreTokens(self._ids, zeros, zeros, self._num_steps, letters),))
        self._num_steps += 1

    def _take(self, command: Command) -> None:
        if isinstance(command, SubmitLocal):
            self._ids += (command.attempt.id,)


class Singly(Feeding):
    """The same tokens, each in a message of its own."""

    def beat(self) -> None:
        for stream in self._streams.values():
            token = SampledToken(0, stream.index, FIRST_LETTER, None, None)
            stream.session.send(frame_of([(stream.name, token)]))  # type: ignore[arg-type]
            stream.index += 1


class Counter:
    """How many tokens came out at the router's end."""

    def __init__(self) -> None:
        self.num_tokens = 0
        self._all = asyncio.Event()
        self._wanted = 0

    def sink(self, event: LegEvent) -> None:
        if isinstance(event, Tokens):
            self.num_tokens += len(event.tokens)
            if self.num_tokens >= self._wanted:
                self._all.set()

    async def step(self, steps: Steps) -> None:
        """One step, until all of it has arrived."""
        self._all.clear()
        self._wanted = self.num_tokens + BATCH
        steps.beat()
        await self._all.wait()


def run() -> list[Measured]:
    """Prints the three costs."""
    near, framed, single = uvloop.run(_measure())
    ratios = tuple(one / many for one, many in zip(single, framed, strict=True))
    print(f"worker to router, {BATCH} tokens a step, CPU of both ends")
    print(f"  a frame a step, on one host     {statistics.median(near):7.2f} us a token")
    print(f"  a frame a step, over gRPC       {statistics.median(framed):7.2f} us a token")
    print(
        f"  a message a token, over gRPC    {statistics.median(single):7.2f} us a token"
        f" ({statistics.median(ratios):.1f} times)"
    )
    cost = f"worker to router CPU per token, both ends, B={BATCH}"
    return [
        Measured("C11", f"a message per token / a frame per step, CPU per token, B={BATCH}", ratios, "", 10),
        Measured("C11", f"{cost}, one host", tuple(near), "us", aim=1, most=True),
        Measured("C11", f"{cost}, over gRPC", tuple(framed), "us", most=True),
    ]


async def _measure() -> Sequence[list[float]]:
    """Microseconds per token of each way, in turns."""
    results: tuple[list[float], ...] = ([], [], [])
    async with AsyncExitStack() as stack:
        entry = NearEntry()
        await entry.start()
        stack.push_async_callback(entry.close)
        kinds: tuple[tuple[Steps, NearEntry | None], ...] = (
            (Stretching(), entry),
            (Stretching(), None),
            (Singly(), None),
        )
        ways = [(steps, await _open(stack, steps, near)) for steps, near in kinds]
        for round_ in range(NUM_ROUNDS + 1):
            for (steps, counter), series in zip(ways, results, strict=True):
                began = time.process_time()
                async with asyncio.timeout(PATIENCE_S):
                    for _ in range(NUM_STEPS):
                        await counter.step(steps)
                if round_:  # the first round is for warming up
                    series.append((time.process_time() - began) / (NUM_STEPS * BATCH) * 1e6)
    return results


async def _open(stack: AsyncExitStack, steps: Steps, entry: NearEntry | None) -> Counter:
    """A worker's service, a router's session with it, and a full batch on it."""
    service: Any = DecodeService(steps, EPOCH, Timeouts(), entry)  # type: ignore[arg-type]
    server = make_server([partial(add_DecodeServicer_to_server, service)])
    address = f"127.0.0.1:{bind(server, '127.0.0.1:0')}"
    await server.start()
    stack.push_async_callback(server.stop, None)
    hello = Hello(
        "feeder", Role.DECODE, address, EPOCH, "m", "f", "l", PROTOCOL_MAJOR, 16, 4096, 1024, 64, 8192, ("shm",), "k"
    )
    session, counter, channel = Session(hello, ROUTER_EPOCH), Counter(), open_channel(address)
    stack.push_async_callback(channel.close)
    running = asyncio.create_task(session.run(channel))
    stack.push_async_callback(asyncio.wait, [running])
    stack.callback(running.cancel)
    for number in range(BATCH):
        attempt = Attempt(AttemptId(f"r{number}", 1), (1, 2, 3), 3, (Choice(0),), Sampling(max_tokens=1 << 20))
        stack.callback(session.cancel, session.attach(attempt, 3600.0, None, counter.sink))
    async with asyncio.timeout(PATIENCE_S):
        while len(steps) < BATCH:  # noqa: ASYNC110 it has no event of its own
            await asyncio.sleep(0.01)
    return counter
