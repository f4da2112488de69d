"""Spans over OpenTelemetry's own memory: one trace, its legs, its facts; and nothing at all when it is off."""

from typing import Any

import pytest

from common.obs.traces import Leg, NoTraces, OtelTraces, is_traceparent, open_traces

trace_sdk = pytest.importorskip("opentelemetry.sdk.trace")
exporting = pytest.importorskip("opentelemetry.sdk.trace.export")
memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def recorded() -> tuple[OtelTraces, Any]:
    exporter, provider = memory.InMemorySpanExporter(), trace_sdk.TracerProvider()
    provider.add_span_processor(exporting.SimpleSpanProcessor(exporter))
    return OtelTraces(provider), exporter


def test_what_another_process_does_is_a_part_of_the_span() -> None:
    traces, exporter = recorded()
    outer = traces.begin("request", PARENT)
    inner = traces.begin("prefill worker", outer.traceparent)
    inner.end({"cached_tokens": 4})
    outer.end({"request": "r-1"})
    child, root = exporter.get_finished_spans()
    assert f"{root.context.trace_id:032x}" in PARENT
    assert child.context.trace_id == root.context.trace_id
    assert child.parent.span_id == root.context.span_id
    assert dict(child.attributes) == {"baton.cached_tokens": 4}


def test_legs_lie_inside_the_span_one_after_the_other() -> None:
    traces, exporter = recorded()
    span = traces.begin("request")
    span.end({}, failed="cancelled", legs=(Leg("queue", 3.0, 1.0), Leg("decode", 2.0, 2.0)))
    queue, decode, root = exporter.get_finished_spans()
    assert (queue.end_time - queue.start_time, decode.end_time - decode.start_time) == (10**9, 2 * 10**9)
    assert queue.end_time == decode.start_time
    assert decode.end_time == root.end_time
    assert {queue.parent.span_id, decode.parent.span_id} == {root.context.span_id}
    assert not root.status.is_ok


@pytest.mark.parametrize("sent", ["", "nonsense", PARENT.upper(), "00-" + "0" * 32 + PARENT[35:], PARENT + "-x"])
def test_what_is_no_trace_context_begins_a_trace_of_its_own(sent: str) -> None:
    assert not is_traceparent(sent)
    traces, exporter = recorded()
    traces.begin("request", sent).end({})
    (span,) = exporter.get_finished_spans()
    assert span.parent is None


def test_off_means_nothing() -> None:
    traces = open_traces("", "router")
    assert isinstance(traces, NoTraces)
    span = traces.begin("request", PARENT)
    assert span.traceparent == ""
    span.end({"request": "r-1"})
    traces.close()
