"""A real prefill side and a real decode side over real gRPC, with engines played by the test."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray

from common.cache.checksum import block_checksum
from common.cache.storage import KVStorage
from common.engine.messages import BlocksReady, Command, Event, Sealed
from common.net.channel import open_channel
from common.net.server import bind, make_server
from common.obs.traces import NoTraces, Traces
from common.types.attempt import Attempt, Choice
from common.types.ids import AttemptId
from common.types.kv import BlockRef, KVLayout, Manifest
from common.types.sampling import SampledToken, Sampling
from common.types.timeouts import Timeouts
from decode_worker.side import DecodeSide
from kvtransfer.transports.contract import PoolBytes
from prefill_worker.side import PrefillSide

LAYOUT = KVLayout("tiny", 2, 2, 4, 8, "float32")
NUM_BLOCKS = 16
PREFILL_EPOCH, DECODE_EPOCH, ROUTER_EPOCH = 11, 22, 33


@dataclass
class Engine:
    """Commands that were posted, in order; the test answers with events."""

    posted: asyncio.Queue[Command] = field(default_factory=asyncio.Queue)

    def post(self, command: Command) -> None:
        self.posted.put_nowait(command)

    async def next(self) -> Command:
        async with asyncio.timeout(10):
            return await self.posted.get()


@dataclass
class Pair:
    """Both sides, their engines and pools, and the addresses they listen on."""

    prefill: PrefillSide
    decode: DecodeSide
    prefill_engine: Engine
    decode_engine: Engine
    source: KVStorage
    target: KVStorage
    prefill_server: grpc.aio.Server
    prefill_address: str
    decode_channel: grpc.aio.Channel
    prefill_channel: grpc.aio.Channel
    overdue: list[bool]
    counter: "Counter"

    @property
    def described(self) -> asyncio.Event:
        """The lender was asked what it offers."""
        return self.counter.asked

    @property
    def num_described(self) -> int:
        return self.counter.num_asked

    def ref(self, block: int, generation: int = 1) -> BlockRef:
        return BlockRef(block, generation, block_checksum(octets(self.source)[block]))

    def manifest(self, attempt: Attempt, blocks: tuple[int, ...]) -> Manifest:
        refs = tuple(self.ref(block) for block in blocks)
        return Manifest(attempt.id, LAYOUT.fingerprint, len(attempt.token_ids), refs, (FIRST,))

    def lend(self, attempt: Attempt, blocks: tuple[int, ...]) -> None:
        """The prefill engine finished all blocks of the attempt."""
        manifest = self.manifest(attempt, blocks)
        events: tuple[Event, ...] = (BlocksReady(attempt.id, 0, manifest.blocks), Sealed(manifest))
        self.prefill.on_events(events)


def octets(storage: KVStorage) -> NDArray[np.uint8]:
    """The bytes of a pool that lies in this machine's memory."""
    if storage.bytes is None:
        raise ValueError("this pool is not in memory")
    return storage.bytes


FIRST = SampledToken(0, 0, 7)


def attempt(number: int = 1, num_tokens: int = 10, request: str = "r-1") -> Attempt:
    tokens = tuple(range(num_tokens))
    return Attempt(AttemptId(request, number), tokens, num_tokens, (Choice(0),), Sampling(max_tokens=4))


class Counter(grpc.aio.ServerInterceptor):
    """Counts how often a lender was asked to describe itself, and notes which methods were called at all."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.num_asked = 0
        self.methods: set[str] = set()

    async def intercept_service(self, continuation: Any, handler_call_details: grpc.HandlerCallDetails) -> Any:
        self.methods.add(handler_call_details.method.rpartition("/")[2])
        if handler_call_details.method.endswith("/Describe"):
            self.num_asked += 1
            self.asked.set()
        return await continuation(handler_call_details)


@asynccontextmanager
async def pair(
    timeouts: Timeouts = Timeouts(), transports: tuple[str, ...] = ("shm", "tcp"), traces: Traces = NoTraces()
) -> AsyncIterator[Pair]:
    source, target = KVStorage(LAYOUT, NUM_BLOCKS), KVStorage(LAYOUT, NUM_BLOCKS)
    octets(source)[:] = np.random.default_rng(1).integers(0, 256, octets(source).shape, np.uint8)
    octets(target)[:] = 0xEE
    pools = [PoolBytes(storage.fd, octets(storage), LAYOUT.fingerprint) for storage in (source, target)]
    prefill_engine, decode_engine, overdue = Engine(), Engine(), list[bool]()
    prefill = PrefillSide(prefill_engine.post, pools[0], transports, PREFILL_EPOCH, timeouts, traces=traces)
    on_overdue = partial(overdue.append, True)
    decode = DecodeSide(decode_engine.post, pools[1], LAYOUT, DECODE_EPOCH, timeouts, on_overdue, traces=traces)
    counter = Counter()
    servers = [make_server([side.register], interceptors=[counter]) for side in (prefill, decode)]
    addresses = [f"127.0.0.1:{bind(server, '127.0.0.1:0')}" for server in servers]
    await prefill.start()
    await decode.start()
    for server in servers:
        await server.start()
    channels = [open_channel(address) for address in addresses]
    try:
        yield Pair(
            prefill, decode, prefill_engine, decode_engine, source, target,
            servers[0], addresses[0], channels[1], channels[0], overdue, counter,
        )  # fmt: skip
    finally:
        for channel in channels:
            await channel.close()
        for server in servers:
            await server.stop(grace=None)
        await decode.close()
        await prefill.close()
        source.close()
        target.close()
