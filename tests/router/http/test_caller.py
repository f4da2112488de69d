"""A caller without a network: who leaves, who stalls, and what is written meanwhile."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from common.types.errors import Cancelled
from router.http.caller import ABORT, KEEP_ALIVE, Caller, Patience
from tests.router.script import PATIENCE_S

NEVER, SOON = 1000.0, 0.01
Message = MutableMapping[str, Any]


class Connection:
    """Both ends of an ASGI connection; `stall` makes every send wait."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.gone, self.flows, self.aborted, self.wrote = (asyncio.Event() for _ in range(4))
        self.flows.set()

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        await self.flows.wait()
        self.sent.append(message)
        self.wrote.set()

    def abort(self) -> None:
        self.aborted.set()
        self.gone.set()

    def caller(self, keep_alive_s: float = NEVER, stalled_s: float = NEVER) -> Caller:
        scope = {"extensions": {ABORT: self.abort}}
        return Caller(scope, self.receive, self.send, Patience(keep_alive_s, stalled_s))

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)


async def test_headers_come_first_and_once() -> None:
    connection = Connection()
    async with connection.caller() as caller:
        await asyncio.gather(*(caller.start([(b"a", b"b")]) for _ in range(3)))
        assert caller.started
        await asyncio.gather(*(caller.write(b"x") for _ in range(3)))
        await caller.write(b"!", more=False)
    kinds = [message["type"] for message in connection.sent]
    assert kinds == ["http.response.start", *["http.response.body"] * 4]
    assert connection.sent[0]["headers"] == [(b"a", b"b")]
    assert connection.sent[-1]["more_body"] is False


async def test_who_hangs_up_ends_the_block() -> None:
    connection = Connection()

    async def work() -> None:
        async with connection.caller():
            connection.gone.set()
            await asyncio.sleep(PATIENCE_S)

    with pytest.raises(Cancelled, match="the client hung up"):
        await work()


async def test_who_hangs_up_after_the_end_changes_nothing() -> None:
    connection = Connection()
    async with connection.caller() as caller:
        await caller.write(b"x", more=False)
        connection.gone.set()
        await asyncio.sleep(SOON)


async def test_who_stalls_is_cut_off() -> None:
    connection = Connection()

    async def work() -> None:
        async with connection.caller(stalled_s=SOON) as caller:
            await caller.start([])
            await caller.write(b"x")
            connection.flows.clear()
            await caller.write(b"y")

    with pytest.raises(Cancelled, match="read nothing for"):
        await work()
    assert connection.aborted.is_set()


async def test_who_has_not_read_the_answer_before_is_cut_off_too() -> None:
    connection = Connection()
    connection.flows.clear()

    async def work() -> None:
        async with connection.caller(stalled_s=SOON) as caller:
            await caller.start([])

    with pytest.raises(Cancelled, match="read nothing for"):
        await work()
    assert connection.aborted.is_set()


async def test_quiet_streams_get_comments() -> None:
    connection = Connection()
    async with connection.caller(keep_alive_s=SOON) as caller:
        await caller.start([])
        async with asyncio.timeout(PATIENCE_S):
            while connection.body.count(KEEP_ALIVE) < 3:
                connection.wrote.clear()
                await connection.wrote.wait()
        await caller.write(b"x", more=False)
    assert connection.body.replace(KEEP_ALIVE, b"") == b"x"


async def test_an_error_inside_passes_as_it_is() -> None:
    with pytest.raises(LookupError):
        async with Connection().caller():
            raise LookupError


async def test_a_cancellation_from_outside_passes_as_it_is() -> None:
    connection = Connection()

    async def work() -> None:
        async with connection.caller():
            await asyncio.sleep(PATIENCE_S)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not connection.aborted.is_set()
