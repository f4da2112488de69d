"""A worker's membership against a router that answers, falls silent, refuses, ends, and comes back."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from baton.v1 import fleet_pb2, fleet_pb2_grpc
from common.net import convert_fleet, join
from common.net.dial import Dial
from common.net.join import FIRST_BACKOFF_S, HASHES_PER_REPORT, LAST_BACKOFF_S, Backoff, Membership, Orders, _Stream
from common.net.server import bind, make_server
from common.types.errors import PeerLost, StaleAttempt, Unavailable
from common.types.ids import Role
from common.types.member import Hello, Load
from common.types.timeouts import Timeouts
from tests.net.servers import serving

HELLO = Hello("p1", Role.PREFILL, "127.0.0.1:1", 7, "m", "mf", "lf", 1, 16, 4096, 10, 4, 100, ("shm",), "k")
PATIENT = Timeouts(dead_s=30.0)
HASTY = Timeouts(dead_s=0.5)


class Router(fleet_pb2_grpc.FleetServicer):
    """Welcomes with a new epoch each time; what it hears goes into a queue, what it says comes from one."""

    def __init__(self, heartbeat_ms: int = 60_000, beats: bool = True) -> None:
        self.heard: asyncio.Queue[Hello | Load] = asyncio.Queue()
        self.says: asyncio.Queue[fleet_pb2.JoinResponse | Exception | None] = asyncio.Queue()
        self.heartbeat_ms, self.beats = heartbeat_ms, beats
        self.num_joined = 0
        self.refusal: Exception | None = None
        self.welcome: Callable[[int, int], fleet_pb2.Welcome] = lambda epoch, ms: fleet_pb2.Welcome(
            router_epoch=epoch, heartbeat_ms=ms
        )

    async def Join(self, requests: Any, context: Any) -> AsyncIterator[fleet_pb2.JoinResponse]:
        self.num_joined += 1
        self.heard.put_nowait(convert_fleet.hello_from_proto((await anext(requests)).hello))
        if self.refusal is not None:
            raise self.refusal
        yield fleet_pb2.JoinResponse(welcome=self.welcome(self.num_joined, self.heartbeat_ms))
        listening = asyncio.create_task(self.listen(requests))
        try:
            while (said := await self.says.get()) is not None:
                if isinstance(said, Exception):
                    raise said
                yield said
        finally:
            listening.cancel()

    async def listen(self, requests: Any) -> None:
        async for request in requests:
            self.heard.put_nowait(convert_fleet.load_from_proto(request.load))
            if self.beats:
                self.says.put_nowait(fleet_pb2.JoinResponse(beat=fleet_pb2.Beat()))

    async def hear(self) -> Hello | Load:
        return await asyncio.wait_for(self.heard.get(), 20)


class Worker:
    """Records what its membership does."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[tuple[str, object]] = asyncio.Queue()
        self.firsts: list[bool] = []
        self.load = Load(num_free_blocks=9)
        self.orders = Orders(
            on_drain=lambda leave: self.events.put_nowait(("drain", leave)),
            on_resume=lambda: self.events.put_nowait(("resume", None)),
            on_lost=lambda epoch: self.events.put_nowait(("lost", epoch)),
            on_joined=lambda epoch: self.events.put_nowait(("joined", epoch)),
        )

    def report(self, first: bool) -> Load:
        self.firsts.append(first)
        return self.load

    async def next(self) -> tuple[str, object]:
        return await asyncio.wait_for(self.events.get(), 20)


@asynccontextmanager
async def joining(router: Router, timeouts: Timeouts = PATIENT) -> AsyncIterator[tuple[Worker, Membership]]:
    worker = Worker()
    async with serving(partial(fleet_pb2_grpc.add_FleetServicer_to_server, router)) as address:
        membership = Membership(address, HELLO, worker.report, worker.orders, timeouts)
        task = asyncio.create_task(membership.run())
        try:
            yield worker, membership
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_hello_then_welcome_then_a_first_report() -> None:
    router = Router()
    async with joining(router) as (worker, membership):
        assert await router.hear() == HELLO
        assert await worker.next() == ("joined", 1)
        assert await router.hear() == Load(sequence=1, num_free_blocks=9)
        assert membership.router_epoch == 1
        assert worker.firsts == [True]


async def test_a_report_every_heartbeat_the_router_wishes() -> None:
    router = Router(heartbeat_ms=10)
    async with joining(router) as (worker, _):
        await router.hear()
        loads = [await router.hear() for _ in range(4)]
        assert [load.sequence for load in loads if isinstance(load, Load)] == [1, 2, 3, 4]
        assert worker.firsts[:4] == [True, False, False, False]


async def test_a_poke_reports_at_once() -> None:
    router = Router(heartbeat_ms=60_000)
    async with joining(router) as (worker, membership):
        await router.hear()
        await router.hear()
        for number in (2, 3):
            worker.load = Load(num_running=number)
            membership.poke()
            assert await router.hear() == Load(sequence=number, num_running=number)


async def test_commands_reach_the_worker_and_unknown_ones_do_no_harm() -> None:
    router = Router()
    async with joining(router) as (worker, _):
        assert await worker.next() == ("joined", 1)
        router.says.put_nowait(fleet_pb2.JoinResponse(drain=fleet_pb2.DrainCommand(leave=True)))
        router.says.put_nowait(fleet_pb2.JoinResponse())
        router.says.put_nowait(fleet_pb2.JoinResponse(resume=fleet_pb2.ResumeCommand()))
        router.says.put_nowait(fleet_pb2.JoinResponse(drain=fleet_pb2.DrainCommand()))
        assert [await worker.next() for _ in range(3)] == [("drain", True), ("resume", None), ("drain", False)]


async def test_many_hashes_come_in_several_reports() -> None:
    router = Router()
    async with joining(router) as (worker, membership):
        await router.hear()
        await router.hear()
        hashes = tuple(range(2 * HASHES_PER_REPORT + 5))
        worker.load = Load(added_hashes=hashes, removed_hashes=(1 << 63,))
        membership.poke()
        loads = [load for load in [await router.hear() for _ in range(3)] if isinstance(load, Load)]
        assert [load.sequence for load in loads] == [2, 3, 4]
        assert sum((load.added_hashes for load in loads), ()) == hashes
        assert sum((load.removed_hashes for load in loads), ()) == (1 << 63,)


async def test_a_stream_that_ends_is_lost_and_joined_again_from_scratch() -> None:
    router = Router()
    async with joining(router) as (worker, membership):
        assert await worker.next() == ("joined", 1)
        await router.hear()
        await router.hear()
        router.says.put_nowait(None)
        assert await worker.next() == ("lost", 1)
        assert membership.router_epoch is None
        assert await worker.next() == ("joined", 2)
        assert await router.hear() == HELLO
        load = await router.hear()
        assert isinstance(load, Load)
        assert load.sequence == 1
        assert worker.firsts[-1] is True


async def test_a_router_that_says_that_it_leaves_is_not_lost_and_is_given_time(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(join, "FAREWELL_S", 0.3)
    real_sleep = asyncio.sleep

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await real_sleep(0)

    router = Router()
    with caplog.at_level(logging.INFO, "baton.join"):
        async with joining(router) as (worker, _):
            assert await worker.next() == ("joined", 1)
            await router.hear()
            await router.hear()
            monkeypatch.setattr("common.net.join.asyncio.sleep", sleep)
            router.says.put_nowait(Unavailable("the router is leaving", "join"))
            assert [await worker.next(), await worker.next()] == [("lost", 1), ("joined", 2)]
    assert pauses[0] == 0.3
    said = [
        (record.levelname, record.message, vars(record).get("reason"))
        for record in caplog.records
        if record.name == "baton.join"
    ]
    assert ("INFO", "let go", "the router is leaving") in said
    assert "router lost" not in {message for _, message, _ in said}


async def test_a_silent_router_is_lost() -> None:
    router = Router(heartbeat_ms=20, beats=False)
    async with joining(router, HASTY) as (worker, _):
        assert [(await worker.next())[0] for _ in range(3)] == ["joined", "lost", "joined"]


async def test_beats_keep_it_alive() -> None:
    router = Router(heartbeat_ms=20)
    async with joining(router, Timeouts(dead_s=2.0)) as (worker, _):
        for _ in range(20):
            await router.hear()
        assert worker.events.get_nowait() == ("joined", 1)
        assert worker.events.empty()


async def test_a_refusal_is_said_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    router = Router()
    router.refusal = StaleAttempt("another member has this name")
    with caplog.at_level(logging.WARNING, "baton.join"):
        async with joining(router) as (worker, _):
            assert await router.hear() == HELLO
            assert await router.hear() == HELLO
            router.refusal = None
            while await router.hear() == HELLO:
                pass
            assert await worker.next() == ("joined", router.num_joined)
    assert worker.events.empty()
    assert "another member has this name" in {
        vars(record)["reason"] for record in caplog.records if record.name == "baton.join"
    }


@pytest.mark.parametrize(
    "welcome", [fleet_pb2.Welcome(), fleet_pb2.Welcome(router_epoch=1), fleet_pb2.Welcome(heartbeat_ms=100)]
)
async def test_a_broken_welcome_is_not_believed(welcome: fleet_pb2.Welcome) -> None:
    router = Router()
    router.welcome = lambda epoch, ms: welcome
    async with joining(router) as (worker, membership):
        assert [await router.hear(), await router.hear()] == [HELLO, HELLO]
        assert membership.router_epoch is None
        assert worker.events.empty()


def test_only_a_tie_that_lasted_ends_the_back_off() -> None:
    backoff = Backoff()
    pauses = [backoff.after(tie_s) for tie_s in (0, 0.01, 0.01, 0, 0.01, 0.01)]
    assert pauses == [min(FIRST_BACKOFF_S * 2**n, LAST_BACKOFF_S) for n in range(6)]
    assert backoff.after(60) == FIRST_BACKOFF_S
    assert backoff.after(0) == 2 * FIRST_BACKOFF_S


async def test_a_router_that_is_not_there_yet_is_waited_for() -> None:
    router, worker = Router(), Worker()
    async with serving() as address:
        pass
    membership = Membership(address, HELLO, worker.report, worker.orders, PATIENT)
    task = asyncio.create_task(membership.run())
    await asyncio.sleep(0)
    server = make_server([partial(fleet_pb2_grpc.add_FleetServicer_to_server, router)])
    bind(server, address)
    await server.start()
    assert await worker.next() == ("joined", 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await server.stop(None)


async def test_a_bug_in_the_worker_ends_it_loudly() -> None:
    router, worker = Router(), Worker()

    def broken(first: bool) -> Load:
        raise ZeroDivisionError

    async with serving(partial(fleet_pb2_grpc.add_FleetServicer_to_server, router)) as address:
        membership = Membership(address, HELLO, broken, worker.orders, PATIENT)
        with pytest.raises(ExceptionGroup) as caught:
            await asyncio.wait_for(membership.run(), 20)
    assert isinstance(caught.value.exceptions[0], ZeroDivisionError)


async def test_writing_to_a_call_that_is_over_is_a_lost_peer() -> None:
    router = Router()
    router.refusal = StaleAttempt("go away")
    async with serving(partial(fleet_pb2_grpc.add_FleetServicer_to_server, router)) as address:
        async with _Stream(address, 20.0, Dial()) as stream:
            hello = fleet_pb2.JoinRequest(hello=convert_fleet.hello_to_proto(HELLO))
            await stream.write(hello)
            with pytest.raises(StaleAttempt):
                await stream.read()
            with pytest.raises(PeerLost, match="over"):
                await stream.write(hello)
        with pytest.raises(PeerLost, match="left"):
            await stream.write(hello)
