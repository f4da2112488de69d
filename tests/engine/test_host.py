"""What a worker tells routers of itself, and when it gives itself up."""

import asyncio
from dataclasses import replace

import grpc
import pytest

from common.engine.host import Host
from common.engine.messages import EngineLoad, Event, PrefixChanged
from common.engine.report import SideState, make_report
from common.net.health import Health
from common.types.config import WorkerConfig
from common.types.member import Carried, FetchTotals, StepTotals
from common.types.timeouts import Timeouts

NUM_BLOCKS = 100


class Idle:
    """A side that holds nothing."""

    def __init__(self) -> None:
        self.draining = False
        self.seen: list[Event] = []
        self.idle = asyncio.Event()
        self.idle.set()

    def register(self, server: grpc.aio.Server) -> None:
        """Serves nothing."""

    def service_names(self) -> tuple[str, ...]:
        return ()

    def on_events(self, events: tuple[Event, ...]) -> None:
        self.seen += events

    def cancel_router(self, router_epoch: int) -> None:
        """No router ever sent anything."""

    def finish(self) -> None:
        """Owes nobody a last word."""

    def fetch_bytes_per_s(self) -> float:
        return 5.0

    def fetch_totals(self) -> FetchTotals:
        return FetchTotals((Carried("shm", 2, 30, 0.5),), 1)


class Stage:
    """A host around an idle side, with a load the test sets."""

    def __init__(self, share: float = 0.1) -> None:
        self.load = EngineLoad(num_free_blocks=NUM_BLOCKS)
        self.reasons: list[str] = []
        self.side = Idle()
        config = WorkerConfig(model="", timeouts=replace(Timeouts(), quarantine_share=share))
        self.now = 0.0
        self.num_looks = 0
        self.host = Host(
            config, self.side, lambda: self.load, NUM_BLOCKS, self.reasons.append, lambda: self.now, look=self.look
        )

    def look(self) -> None:
        self.num_looks += 1


async def test_the_load_is_told_as_the_engine_has_it() -> None:
    stage = Stage()
    stage.load = EngineLoad(num_free_blocks=7, num_running=3, backlog_tokens=90, step_ms=1.5)
    report = stage.host.report()
    assert (report.num_free_blocks, report.num_running, report.backlog_tokens, report.step_ms) == (7, 3, 90, 1.5)
    assert report.fetch_bytes_per_s == 5.0
    assert report.fetches.num_checksum_failures == 1
    assert not report.draining
    assert not report.drained


async def test_a_look_at_the_engine_s_threads_comes_before_each_report() -> None:
    stage = Stage()
    assert stage.num_looks == 0
    stage.host.report()
    stage.host.report()
    assert stage.num_looks == 2


async def test_a_drained_worker_says_so_and_a_resumed_one_takes_it_back() -> None:
    stage = Stage()
    stage.host.order_drain(leave=False)
    assert stage.host.report().drained
    stage.side.idle.clear()
    assert stage.host.report().draining
    assert not stage.host.report().drained
    stage.host.order_resume()
    assert not stage.host.report().draining


async def test_the_first_router_that_takes_it_in_is_when_it_has_joined() -> None:
    stage = Stage()
    assert not stage.host.joined.is_set()
    stage.host.router_joined(7)
    assert stage.host.joined.is_set()


async def test_a_worker_told_to_leave_cannot_be_resumed() -> None:
    stage = Stage()
    stage.host.order_drain(leave=True)
    assert stage.host.left.is_set()
    stage.host.order_resume()
    assert stage.host.report().draining


async def test_too_large_a_share_that_stays_in_quarantine_is_a_reason_to_restart() -> None:
    stage, fence_s = Stage(share=0.1), Timeouts().fence_s
    for num_blocks, now in ((10, 0.0), (10, 2 * fence_s), (11, 3 * fence_s), (100, 4 * fence_s)):
        stage.load, stage.now = EngineLoad(num_quarantined_blocks=num_blocks), now
        stage.host.report()
        assert not stage.reasons
    stage.now += 0.5
    stage.host.report()
    assert stage.reasons == ["100 blocks are in quarantine"]


async def test_a_burst_of_abandoned_handoffs_that_fences_clear_is_none() -> None:
    stage, fence_s = Stage(share=0.1), Timeouts().fence_s
    for num_blocks, now in ((60, 0.0), (0, fence_s), (60, fence_s + 0.5), (60, 2 * fence_s)):
        stage.load, stage.now = EngineLoad(num_quarantined_blocks=num_blocks), now
        stage.host.report()
    assert not stage.reasons


async def test_prefix_changes_are_for_routers_and_the_rest_for_the_side() -> None:
    stage = Stage()
    stage.host.on_events((PrefixChanged((1, 2, 3), ()), PrefixChanged((4,), (2,))))
    assert stage.host.hashes == (1, 3, 4)
    assert stage.side.seen == []


def test_a_report_joins_what_engine_loop_and_side_count() -> None:
    engine = EngineLoad(num_owned_blocks=4, num_sealed_blocks=2, cached_at=8.0, num_hit_tokens=32, num_preempted=1)
    steps = StepTotals(num_steps=5, kernel_s=0.5, other_s=0.25, num_output_tokens=9)
    side = SideState(1.0, FetchTotals((Carried("tcp", 1, 10, 0.1),)), draining=True, idle=False)
    report = make_report(engine, steps, side, now=10.0)
    assert (report.num_owned_blocks, report.num_sealed_blocks) == (4, 2)
    assert (report.oldest_cached_s, report.oldest_quarantined_s) == (2.0, 0.0)
    assert (report.steps.num_steps, report.steps.num_hit_tokens, report.steps.num_preempted) == (5, 32, 1)
    assert report.fetches.carried[0].transport == "tcp"
    assert (report.draining, report.drained) == (True, False)


async def test_a_broken_device_takes_nothing_new_and_no_order_changes_that(monkeypatch: pytest.MonkeyPatch) -> None:
    stage, told = Stage(), list[bool]()

    async def set_serving(self: Health, serving: bool, service: str | None = None) -> None:
        told.append(serving)

    monkeypatch.setattr(Health, "set_serving", set_serving)
    stage.host._health = Health(())
    await stage.host.break_off("the device reported error XID 79")
    stage.host.order_resume()
    assert stage.side.draining
    assert stage.host.report().draining
    assert told == [False]
