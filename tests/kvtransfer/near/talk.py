"""A door and what it answers, as the tests of near lines need them."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from common.types.errors import StaleAttempt
from kvtransfer.near.door import NearDoor
from kvtransfer.near.line import NearLine
from kvtransfer.transports.hello import Hello
from tests.kvtransfer.carriers import EPOCH, FETCHER_EPOCH
from tests.kvtransfer.pools import LAYOUT, make_pool

POOL = make_pool(4, 4096)


@dataclass
class Talk:
    """`ask` answers with the request in capitals; `follow` with what is put into its queue, until None."""

    bodies: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)
    asked: list[bytes] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    def ask(self, request: bytes) -> bytes:
        self.asked.append(request)
        if request == b"refuse":
            raise StaleAttempt("no")
        return request.upper()

    async def follow(self, request: bytes) -> AsyncGenerator[bytes, None]:
        if request == b"refuse":
            raise StaleAttempt("no")
        try:
            while (body := await self.bodies.get()) is not None:
                yield request + body
        finally:
            self.left.set()


def hello_for(door: NearDoor, fetcher_epoch: int = FETCHER_EPOCH, lender_epoch: int = EPOCH) -> Hello:
    return Hello(lender_epoch, fetcher_epoch, LAYOUT, POOL.block_bytes, door.ticket(FETCHER_EPOCH))


@asynccontextmanager
async def talking(max_calls: int = 8) -> AsyncIterator[tuple[Talk, NearDoor, NearLine]]:
    talk = Talk()
    door = NearDoor(POOL, EPOCH, talk, max_calls=max_calls)
    await door.start()
    line = await NearLine.connect(door.endpoint(), hello_for(door))
    try:
        async with asyncio.timeout(20):
            yield talk, door, line
    finally:
        await line.close()
        await door.close()
