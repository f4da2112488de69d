"""CPU per token from a worker to its router, a batch of 64: one frame per step, and one message per token (row C11).

Both ends are the product's, on one loop over a real connection; the time is the process's, so both ends' threads count.
A step is sent when the last one has arrived.
"""

import asyncio
import statistics
import time
from functools import partial
from typing import Any

from baton.v1.decode_pb2_grpc import add_DecodeServicer_to_server
from common.net.channel import open_channel
from common.net.server import bind, make_server
from common.types.attempt import Attempt, Choice
from common.types.ids import PROTOCOL_MAJOR, AttemptId, Role
from common.types.member import Hello
from common.types.sampling import SampledToken, Sampling
from common.types.timeouts import Timeouts
from decode_worker.service_decode import DecodeService
from decode_worker.session import Frame
from loadtest.micro._feeder import FIRST_LETTER, Feeding
from loadtest.micro._rows import Measured
from router.events import LegEvent, Tokens
from router.session import Session

BATCH = 64
NUM_STEPS = 60
NUM_ROUNDS = 7
EPOCH, ROUTER_EPOCH = 1, 2
PATIENCE_S = 30.0


class Singly(Feeding):
    """The same tokens, each in a message of its own."""

    def beat(self) -> None:
        for stream in self._streams.values():
            token = SampledToken(0, stream.index, FIRST_LETTER, None, None)
            stream.session.send(Frame([(stream.name, token)]))  # type: ignore[arg-type]
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

    async def step(self, feeding: Feeding) -> None:
        """One step, until all of it has arrived."""
        self._all.clear()
        self._wanted = self.num_tokens + BATCH
        feeding.beat()
        async with asyncio.timeout(PATIENCE_S):
            await self._all.wait()


def run() -> list[Measured]:
    """Prints the two costs."""
    framed, single = asyncio.run(_measure())
    ratios = tuple(one / many for one, many in zip(single, framed, strict=True))
    print(f"worker to router, {BATCH} tokens a step, CPU of both ends")
    print(f"  one frame a step     {statistics.median(framed):7.2f} us a token")
    print(f"  a message per token  {statistics.median(single):7.2f} us a token ({statistics.median(ratios):.1f} times)")
    return [
        Measured("C11", f"a message per token / a frame per step, CPU per token, B={BATCH}", ratios, "", 10),
        Measured("C11", f"worker to router CPU per token, both ends, B={BATCH}", tuple(framed), "us", aim=1, most=True),
    ]


async def _measure() -> tuple[list[float], list[float]]:
    """Microseconds per token of each way, in turns."""
    results: tuple[list[float], list[float]] = ([], [])
    ways = [await _open(Feeding()), await _open(Singly())]
    try:
        for round_ in range(NUM_ROUNDS + 1):
            for (feeding, counter, _), series in zip(ways, results, strict=True):
                began = time.process_time()
                for _ in range(NUM_STEPS):
                    await counter.step(feeding)
                if round_:  # the first round is for warming up
                    series.append((time.process_time() - began) / (NUM_STEPS * BATCH) * 1e6)
    finally:
        for _, _, close in ways:
            await close()
    return results


async def _open(feeding: Feeding) -> tuple[Feeding, Counter, Any]:
    """A worker's service, a router's session with it, and a full batch on it."""
    service: Any = DecodeService(feeding, EPOCH, Timeouts())  # type: ignore[arg-type]
    server = make_server([partial(add_DecodeServicer_to_server, service)])
    address = f"127.0.0.1:{bind(server, '127.0.0.1:0')}"
    await server.start()
    hello = Hello(
        "feeder", Role.DECODE, address, EPOCH, "m", "f", "l", PROTOCOL_MAJOR, 16, 4096, 1024, 64, 8192, ("shm",), "k"
    )
    session, counter, channel = Session(hello, ROUTER_EPOCH), Counter(), open_channel(address)
    running = asyncio.create_task(session.run(channel))
    for number in range(BATCH):
        attempt = Attempt(AttemptId(f"r{number}", 1), (1, 2, 3), 3, (Choice(0),), Sampling(max_tokens=1 << 20))
        session.attach(attempt, 3600.0, None, counter.sink)
    async with asyncio.timeout(PATIENCE_S):
        while len(feeding) < BATCH:  # noqa: ASYNC110 it has no event of its own
            await asyncio.sleep(0.01)

    async def close() -> None:
        running.cancel()
        await asyncio.wait([running])
        await channel.close()
        await server.stop(None)

    return feeding, counter, close
