"""An entry and the streams through it, as the tests of near streams need them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from common.net.near_entry import NearEntry, call_near
from common.net.near_stream import NearStream, Receive
from common.types.errors import invalid

PATIENCE_S = 20.0
BAD = b"bad"


@dataclass
class Heard:
    """What came to one end, in order; `BAD` is refused as malformed."""

    messages: list[bytes] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, message: bytes) -> None:
        if message == BAD:
            raise invalid("message", "is bad")
        self.messages.append(message)
        self._changed.set()

    async def num(self, wanted: int) -> list[bytes]:
        """All of them, once there are so many."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.messages) < wanted:
                self._changed.clear()
                await self._changed.wait()
        return self.messages


@dataclass
class Expecting:
    """Lets one stream in."""

    heard: Heard = field(default_factory=Heard)
    came: "asyncio.Future[NearStream]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def admit(self, stream: NearStream) -> Receive:
        self.came.set_result(stream)
        return self.heard.take


@dataclass
class Ends:
    """A stream between two, and what each heard: `here` called, `there` let in."""

    here: NearStream
    there: NearStream
    heard_here: Heard
    heard_there: Heard


@asynccontextmanager
async def entry(receipt_s: float = PATIENCE_S) -> AsyncIterator[NearEntry]:
    made = NearEntry(receipt_s=receipt_s)
    await made.start()
    try:
        yield made
    finally:
        await made.close()


@asynccontextmanager
async def ends() -> AsyncIterator[Ends]:
    async with entry() as door, asyncio.timeout(PATIENCE_S):
        expecting, heard = Expecting(), Heard()
        here = await call_near(door.endpoint, door.expect(expecting.admit), heard.take, PATIENCE_S)
        there = await expecting.came
        try:
            yield Ends(here, there, heard, expecting.heard)
        finally:
            for end in (here, there):
                end.cut("the test is over")
                await end.ended
