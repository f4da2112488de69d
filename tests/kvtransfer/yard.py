"""A lender with several transports and a puller that fetches from it, every connection under watch."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from kvtransfer.pull import Endpoint, Puller
from kvtransfer.transports.contract import FetchingTransport, LendingTransport, PoolBytes
from kvtransfer.transports.hello import Hello
from kvtransfer.transports.pools import Pool
from tests.kvtransfer.carriers import EPOCH, FETCHER_EPOCH, Gate, connect, make_lender
from tests.kvtransfer.pools import LAYOUT, Loans, make_pool


@dataclass
class Yard:
    """A lender with several transports, a puller, and what happened between them."""

    source: PoolBytes
    own: PoolBytes
    loans: Loans
    lenders: dict[str, LendingTransport]
    puller: Puller
    gates: dict[str, Gate]
    made: list[FetchingTransport] = field(default_factory=list)
    closed: dict[FetchingTransport, asyncio.Event] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    described: int = 0
    layout: str = LAYOUT

    async def describe(self) -> tuple[str, list[tuple[str, str, bytes]]]:
        self.described += 1
        await asyncio.sleep(0)
        return self.layout, [(n, t.endpoint(), t.ticket(FETCHER_EPOCH)) for n, t in self.lenders.items()]

    def endpoint(self, epoch: int = EPOCH) -> Endpoint:
        return Endpoint("prefill:1", epoch, self.describe)

    @property
    def names(self) -> list[str]:
        return [transport.name for transport in self.made]


@contextlib.asynccontextmanager
async def pulling(*kinds: str, held: str = "", num_free: int = 2) -> AsyncIterator[Yard]:
    """The transport called `held` stops after `num_free` blocks until its gate is released."""
    source, own, loans = make_pool(12, 4099, seed=1), make_pool(12, 4099), Loans()
    gates = {kind: Gate(num_free if kind == held else None) for kind in kinds}
    speeds = {kind: 1e12 / (place + 1) for place, kind in enumerate(kinds)}
    lenders = {kind: make_lender(kind, source, loans, gates[kind].fabric) for kind in reversed(kinds)}

    async def reach(name: str, endpoint: str, hello: Hello, own: Pool, stall_s: float) -> FetchingTransport:
        transport = await connect(name, endpoint, hello, own, gates[name])
        yard.made.append(transport)
        closed, close = asyncio.Event(), transport.close
        yard.closed[transport] = closed

        async def close_and_say() -> None:
            await close()
            closed.set()

        transport.close = close_and_say  # type: ignore[method-assign]

        async def measure(num_blocks: int) -> float:
            return speeds[name]

        transport.measure = measure  # type: ignore[method-assign]
        return transport

    yard = Yard(source, own, loans, lenders, Puller(own, FETCHER_EPOCH), gates)
    yard.puller = Puller(own, FETCHER_EPOCH, transports=kinds, warn=yard.said.append, connect=reach)
    for lender in lenders.values():
        await lender.start()
    try:
        yield yard
    finally:
        for gate in gates.values():
            gate.release()
        await yard.puller.close()
        for lender in lenders.values():
            await lender.close()
