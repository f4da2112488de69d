"""What both workers log of an attempt: one line each when it ends, found by the request's id."""

import logging
from dataclasses import replace
from typing import Any

import pytest

from common.engine.messages import Drop, Join, Joined, Started, StepTokens
from common.types.sampling import FinishReason, SampledToken
from tests.decode_worker.pair import FIRST, attempt
from tests.decode_worker.test_handoff import SOURCE_BLOCKS, attached
from tests.obs.test_traces import PARENT, recorded


def lines(caplog: pytest.LogCaptureFixture, logger: str) -> list[dict[str, Any]]:
    return [vars(record) for record in caplog.records if record.name == logger and record.message == "ended"]


@pytest.fixture(autouse=True)
def _everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "baton")


async def test_an_answered_attempt(caplog: pytest.LogCaptureFixture) -> None:
    x = attempt(number=2)
    async with attached(x) as (p, router):
        p.prefill.on_events((Started(x.id, 4, 0.25),))
        p.lend(x, SOURCE_BLOCKS)
        assert await p.decode_engine.next() == Join(x.id, (FIRST,))
        await router.closed()
        last = SampledToken(0, 1, 8, finish=FinishReason.STOP)
        p.decode.on_events((Joined(x.id), StepTokens(((x.id, FIRST), (x.id, last)))))
        assert await p.decode_engine.next() == Drop(x.id)
    (decode,) = lines(caplog, "baton.decode")
    assert (decode["request"], decode["attempt"], decode["output_tokens"]) == ("r-1", 2, 2)
    assert (decode["lender"], decode["transport"] in ("shm", "tcp"), decode["bytes"] > 0) == ("p", True, True)
    assert "reason" not in decode
    (prefill,) = lines(caplog, "baton.prefill")
    assert (prefill["request"], prefill["attempt"], prefill["prompt_tokens"]) == ("r-1", 2, 10)
    assert (prefill["cached_tokens"], prefill["queue_ms"], prefill["loan"]) == (4, 250.0, "released")


async def test_a_cancelled_attempt_says_so(caplog: pytest.LogCaptureFixture) -> None:
    x = attempt()
    async with attached(x) as (p, router):
        await router.cancel()
        assert await p.decode_engine.next() == Drop(x.id)
    (decode,) = lines(caplog, "baton.decode")
    assert (decode["reason"], decode["output_tokens"]) == ("cancelled", 0)


async def test_a_lost_source_is_named(caplog: pytest.LogCaptureFixture) -> None:
    x = attempt()
    async with attached(x) as (p, router):
        await p.prefill_server.stop(grace=None)
        await router.read()
    (decode,) = lines(caplog, "baton.decode")
    assert decode["reason"] == "source lost"


async def test_both_workers_are_parts_of_the_routers_span() -> None:
    pytest.importorskip("opentelemetry.sdk")
    traces, exporter = recorded()
    x = replace(attempt(), traceparent=PARENT)
    async with attached(x, traces=traces) as (p, router):
        await router.cancel()
        assert await p.decode_engine.next() == Drop(x.id)
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert spans.keys() == {"prefill worker", "decode worker"}
    assert {f"{span.parent.span_id:016x}" for span in spans.values()} == {PARENT[36:52]}
    assert spans["decode worker"].status.description == "cancelled"
