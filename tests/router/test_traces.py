"""One trace from a client through the router to both workers, however the client came."""

import asyncio
import http.client
import json
from pathlib import Path

import pytest

from baton.v1 import inference_pb2
from tests.obs.test_traces import PARENT, recorded
from tests.router.rig import failure, read, rig

pytest.importorskip("opentelemetry.sdk")


async def test_the_span_of_a_request_goes_to_both_workers(tmp_path: Path) -> None:
    traces, exporter = recorded()
    async with rig(tmp_path) as fleet:
        fleet.router.serving.traces = traces
        prefill, decode = await fleet.prefill(), await fleet.decode()
        request = inference_pb2.GenerateRequest(text="hello", max_tokens=3)
        await read(fleet.inference.Generate(request, metadata=(("traceparent", PARENT),), timeout=20))
        await fleet.router.serving.idle.wait()
        (root,) = [span for span in exporter.get_finished_spans() if span.name == "request"]
        sent = f"00-{root.context.trace_id:032x}-{root.context.span_id:016x}-01"
        assert prefill.service.requests[0].attempt.traceparent == sent
        assert decode.service.attaches[0].attempt.traceparent == sent
        assert sent[:35] == PARENT[:35], "it goes on with the client's trace"
        legs = {span.name for span in exporter.get_finished_spans() if span.parent.span_id == root.context.span_id}
        assert legs <= {"queue", "prefill", "handoff", "decode"}
        assert root.attributes["baton.output_tokens"] == 3
        assert root.status.is_ok


async def test_an_http_request_goes_on_with_its_header(tmp_path: Path) -> None:
    traces, exporter = recorded()
    async with rig(tmp_path) as fleet:
        fleet.router.serving.traces = traces
        await fleet.prefill()
        await fleet.decode()

        def ask() -> int:
            connection = http.client.HTTPConnection(fleet.router.http_address, timeout=20)
            body = json.dumps({"model": "tiny", "prompt": "hello", "max_tokens": 2})
            headers = {"traceparent": PARENT, "content-type": "application/json"}
            connection.request("POST", "/v1/completions", body, headers)
            status = connection.getresponse().status
            connection.close()
            return status

        assert await asyncio.to_thread(ask) == 200
        (root,) = [span for span in exporter.get_finished_spans() if span.name == "request"]
        assert f"{root.context.trace_id:032x}" == PARENT[3:35]


async def test_a_refused_request_is_a_failed_span(tmp_path: Path) -> None:
    traces, exporter = recorded()
    async with rig(tmp_path) as fleet:
        fleet.router.serving.traces = traces
        await failure(fleet.generate())
        (root,) = exporter.get_finished_spans()
        assert (root.status.is_ok, root.status.description) == (False, "no decode member is up")
