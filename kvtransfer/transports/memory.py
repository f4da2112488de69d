"""A transport inside one process, on a clock of its own, that does to blocks what a plan of faults says.

For tests and simulations of everything above transports. Frames that are due now arrive one per turn of the event loop;
later ones when `MemoryFabric.advance` reaches their time.
"""

import asyncio
import heapq
import itertools
from collections.abc import Sequence

from common.cache.checksum import block_checksum
from common.types.errors import StartupError
from common.types.ids import AttemptId
from common.types.kv import Pair
from kvtransfer.transports.contract import Digest, FetchReport, Lends, PoolBytes, TransportFailed, check_pairs
from kvtransfer.transports.faults import Frame, Plan, undisturbed
from kvtransfer.transports.flight import Flight
from kvtransfer.transports.hello import Doorkeeper, Hello, Refusal, refusal_text


class MemoryFabric:
    """What connects the lenders and fetchers of one test: who is there, what is under way, and what time it is."""

    def __init__(self, plan: Plan = undisturbed, *, stall_s: float = 3.0, bytes_per_s: float = 1e9) -> None:
        self.plan = plan
        self.stall_s = stall_s
        self.bytes_per_s = bytes_per_s
        self.now = 0.0
        self.lenders: dict[str, MemoryLender] = {}
        self._under_way: list[tuple[float, int, Flight, Frame]] = []
        self._flights: list[Flight] = []
        self._order = itertools.count()
        self._pumping = False

    def send(self, flight: Flight, frames: Sequence[Frame], refusal: str) -> None:
        """Puts the frames under way as the plan wants it."""
        deliveries = self.plan(frames)
        flight.launch(len(deliveries), self.now, refusal)
        for delivery in deliveries:
            entry = (self.now + delivery.delay_s, next(self._order), flight, delivery.frame)
            heapq.heappush(self._under_way, entry)
        self._flights.append(flight)
        self._pump_soon()

    def advance(self, seconds: float) -> None:
        """Moves the clock, delivering in order of time what becomes due."""
        end = self.now + seconds
        while self._under_way and self._under_way[0][0] <= end:
            self._deliver_next()
        self.now = end
        for flight in self._flights:
            flight.check_stall(self.now, self.stall_s)
        self._flights = [flight for flight in self._flights if not flight.closed]

    def _deliver_next(self) -> None:
        due, _, flight, frame = heapq.heappop(self._under_way)
        self.now = max(self.now, due)
        flight.check_stall(self.now, self.stall_s)
        flight.arrive(frame, self.now)

    def _pump_soon(self) -> None:
        if not self._pumping and self._under_way and self._under_way[0][0] <= self.now:
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        self._pumping = False
        if self._under_way and self._under_way[0][0] <= self.now:
            self._deliver_next()
        self._pump_soon()


class MemoryLender:
    """Lends one pool to fetchers on the same fabric."""

    name = "memory"

    def __init__(self, fabric: MemoryFabric, pool: PoolBytes, epoch: int, lends: Lends) -> None:
        self._fabric = fabric
        self._pool = pool
        self._lends = lends
        self._endpoint = f"memory:{epoch}"
        self.doorkeeper = Doorkeeper(epoch, pool.layout, pool.num_blocks, pool.block_bytes)

    async def start(self) -> None:
        if self._endpoint in self._fabric.lenders:
            raise StartupError("two lenders of one epoch share a fabric", "Give each its own")
        self._fabric.lenders[self._endpoint] = self

    def endpoint(self) -> str:
        return self._endpoint

    def ticket(self, fetcher_epoch: int) -> bytes:
        return self.doorkeeper.ticket(fetcher_epoch)

    async def close(self) -> None:
        self._fabric.lenders.pop(self._endpoint, None)

    def answer(self, attempt: AttemptId, pairs: Sequence[Pair]) -> tuple[list[Frame], str]:
        """Frames up to the first block that is not lent, and then why it is not."""
        frames: list[Frame] = []
        for position, pair in enumerate(pairs):
            block = pair.source.block
            if block >= self._pool.num_blocks:
                return frames, refusal_text(Refusal.RANGE)
            if not self._lends(attempt, block, pair.source.generation):
                return frames, refusal_text(Refusal.NOT_LENT)
            frames.append(Frame(position, self._pool.blocks[block].tobytes()))
        return frames, ""


class MemoryFetcher:
    """A fetcher on a fabric. A cancelled fetch goes on writing what was sent to it: in flight until delivered."""

    name = "memory"

    def __init__(
        self, fabric: MemoryFabric, endpoint: str, own: PoolBytes, num_source_blocks: int, digest: Digest
    ) -> None:
        self._fabric = fabric
        self._endpoint = endpoint
        self._own = own
        self._num_source_blocks = num_source_blocks
        self._digest = digest
        self._flights: list[Flight] = []
        self._fenced = False

    @classmethod
    async def connect(
        cls, fabric: MemoryFabric, endpoint: str, hello: Hello, own: PoolBytes, *, digest: Digest = block_checksum
    ) -> "MemoryFetcher":
        lender = fabric.lenders.get(endpoint)
        if lender is None:
            raise TransportFailed("the lender cannot be reached")
        welcome = lender.doorkeeper.admit(hello.pack())
        if welcome.status:
            raise TransportFailed(refusal_text(welcome.status))
        return cls(fabric, endpoint, own, welcome.num_blocks, digest)

    async def fetch(self, attempt: AttemptId, pairs: Sequence[Pair]) -> FetchReport:
        if self._fenced:
            raise TransportFailed("the connection was fenced")
        check_pairs(pairs, self._num_source_blocks, self._own.num_blocks)
        lender = self._fabric.lenders.get(self._endpoint)
        if lender is None:
            raise TransportFailed("the lender closed the connection")
        started = self._fabric.now
        flight = Flight(attempt, pairs, self._own.blocks, self._digest)
        self._flights.append(flight)
        self._fabric.send(flight, *lender.answer(attempt, pairs))
        await flight.result()
        return FetchReport(len(pairs) * self._own.block_bytes, self._fabric.now - started, self.name)

    async def measure(self, num_blocks: int) -> float:
        return self._fabric.bytes_per_s

    def in_flight(self, attempt: AttemptId) -> int:
        self._flights = [flight for flight in self._flights if not flight.closed]
        return sum(flight.attempt == attempt for flight in self._flights)

    async def drained(self, attempt: AttemptId) -> None:
        for flight in [flight for flight in self._flights if flight.attempt == attempt]:
            await flight.drained()

    async def fence(self) -> None:
        self._fenced = True
        for flight in self._flights:
            flight.cut("the connection was fenced")
        self._flights = []

    async def close(self) -> None:
        await self.fence()
