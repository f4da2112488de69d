"""Streams over real sockets: when headers go out, what keeps them alive, and how they end when something breaks."""

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from openai import APIError, APITimeoutError

from baton.v1 import decode_pb2
from common.types.http import HttpLimits
from common.types.member import Load
from common.types.timeouts import Timeouts
from tests.router.http.pair import Pair, pair
from tests.router.http.wire import ask, connected, post, stream
from tests.router.script import PATIENCE_S

PATH, CHAT = "/v1/completions", "/v1/chat/completions"
ASKED: dict[str, dict[str, Any]] = {
    PATH: {"prompt": "hi"},
    CHAT: {"messages": [{"role": "user", "content": "hi"}]},
}
SOON = 0.02


async def idle(fleet: Pair) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await fleet.rig.router.serving.idle.wait()


async def drain_into(texts: list[str], stream: Any) -> None:
    async for chunk in stream:
        texts.append(chunk.choices[0].text)


async def all_of(asked: Any) -> None:
    await drain_into([], await asked)


async def test_headers_say_what_follows(tmp_path: Path) -> None:
    async with pair(tmp_path) as fleet, connected(fleet.address) as wire:
        await wire.post(PATH, prompt="hi", stream=True, max_tokens=1)
        head = await wire.head()
        assert head.status == 200
        assert head.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert head.headers["cache-control"] == "no-cache"
        assert head.headers["x-request-id"].startswith("r-")
        assert [event async for event in wire.events()][-1] == "[DONE]"


@pytest.mark.parametrize("path", [PATH, CHAT])
async def test_headers_wait_for_no_token(tmp_path: Path, path: str) -> None:
    async with pair(tmp_path) as fleet, connected(fleet.address) as wire:
        fleet.prefill.script.hold("started")
        await wire.post(path, **ASKED[path], stream=True, max_tokens=2, seed=0)
        assert (await wire.head()).status == 200
        fleet.prefill.script.release("started")
        assert [event async for event in wire.events()][-1] == "[DONE]"


async def test_headers_of_a_list_wait_until_all_of_it_is_on_its_way(tmp_path: Path) -> None:
    async with pair(tmp_path) as fleet:
        fleet.prefill.script.hold("started")
        async with connected(fleet.address) as wire:
            await wire.post(PATH, prompt=["a", "b", "c"], stream=True, max_tokens=1)
            assert (await wire.head()).status == 200
            assert len(fleet.prefill.service.requests) <= 3
            fleet.prefill.script.release("started")
            assert [event async for event in wire.events()][-1] == "[DONE]"


async def test_comments_keep_a_quiet_stream_alive(tmp_path: Path) -> None:
    async with pair(tmp_path, HttpLimits(keep_alive_s=SOON)) as fleet, connected(fleet.address) as wire:
        fleet.decode.script.hold("token 2")
        await wire.post(PATH, prompt="hi", stream=True, max_tokens=4, seed=0)
        await wire.head()
        text = b""
        while text.count(b": keep-alive\n\n") < 3:
            text += await wire.chunk()
        fleet.decode.script.release("token 2")
        while piece := await wire.chunk():
            text += piece
        events = [json.loads(line[6:]) for line in text.split(b"\n\n") if line.startswith(b"data: {")]
        assert "".join(event["choices"][0]["text"] for event in events) == "abcd"


async def test_an_error_before_the_first_token_is_an_event_too(tmp_path: Path) -> None:
    async with pair(tmp_path, default_deadline_s=1.0) as fleet:
        fleet.prefill.script.hold("first")
        answer = await post(fleet.address, PATH, prompt="hi")
        assert (answer.status, answer.error["type"]) == (504, "timeout_error")
        head, events = await stream(fleet.address, PATH, prompt="hi")
        assert (head.status, len(events), events[0]["error"]["type"]) == (200, 1, "timeout_error")
        async with fleet.client() as client:
            with pytest.raises(APIError, match="the deadline passed"):
                await all_of(client.completions.create(model="tiny", prompt="hi", stream=True))
        fleet.prefill.script.release("first")


@pytest.mark.parametrize("streamed", [True, False])
async def test_what_is_refused_keeps_its_status(tmp_path: Path, streamed: bool) -> None:
    """Also by who looks for a member, after the request was admitted: until then nothing was sent."""
    async with pair(tmp_path) as fleet:
        busy = Load(num_free_blocks=256, backlog_tokens=1_000_000, prefill_tokens_per_s=1.0)
        await fleet.rig.report("p0", busy)
        answer = await post(fleet.address, PATH, prompt="hi", max_tokens=2, stream=streamed)
        assert (answer.status, answer.error["code"]) == (429, "overloaded")
        assert int(answer.headers["retry-after-ms"]) > 1000
        assert fleet.rig.router.serving.tally.ended == {"failed": 1}
    async with pair(tmp_path, max_requests=1) as fleet, connected(fleet.address) as wire:
        fleet.prefill.script.hold("started")
        await wire.post(PATH, prompt="hi", stream=True, max_tokens=2)
        await wire.head()
        answer = await post(fleet.address, PATH, prompt="hi", stream=streamed)
        assert (answer.status, answer.error["type"]) == (429, "rate_limit_error")
        assert (await post(fleet.address, PATH, prompt="hi", n=0, stream=streamed)).status == 400
        fleet.prefill.script.release("started")
        assert [event async for event in wire.events()][-1] == "[DONE]"


@pytest.mark.parametrize("streamed", [True, False])
async def test_the_id_in_the_headers_is_the_one_in_the_log(
    tmp_path: Path, streamed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "baton.router")
    async with pair(tmp_path, max_attempts=1) as fleet:
        fleet.decode.service.fail_kind = decode_pb2.FAILURE_KIND_INTERNAL
        ids = []
        for fields in ({"prompt": "hi", "n": 0}, {"prompt": "hi"}, {"prompt": ["a", "b"]}):
            async with connected(fleet.address) as wire:
                await wire.post(PATH, stream=streamed, **fields)
                ids.append((await wire.head()).headers["x-request-id"])
            await idle(fleet)
    logged = [record.request for record in caplog.records if hasattr(record, "request")]
    assert len(set(ids)) == 3
    assert all(id in logged for id in ids)
    assert f"{ids[2]}.1" in logged, "of a list, each prompt has its own"


async def test_a_later_error_is_the_last_event(tmp_path: Path) -> None:
    async with pair(tmp_path, default_deadline_s=2.5) as fleet, connected(fleet.address) as wire:
        fleet.decode.script.hold("token 2")
        await wire.post(PATH, prompt="hi", stream=True, max_tokens=9, seed=0)
        assert (await wire.head()).status == 200
        *chunks, last = [event async for event in wire.events()]
        assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == "ab"
        assert last["error"]["type"] == "timeout_error"
        assert last["error"]["code"] == "deadline_passed"
        fleet.decode.script.release("token 2")
        answer = await post(fleet.address, PATH, prompt="hi", max_tokens=2, seed=0)
        assert answer.json["choices"][0]["text"] == "ab"


async def test_the_official_client_raises_what_the_last_event_says(tmp_path: Path) -> None:
    async with pair(tmp_path, default_deadline_s=2.5) as fleet, fleet.client() as client:
        fleet.decode.script.hold("token 2")
        stream = await client.completions.create(model="tiny", prompt="hi", stream=True, max_tokens=9, seed=0)
        texts: list[str] = []
        with pytest.raises(APIError, match="the deadline passed") as caught:
            await drain_into(texts, stream)
        assert "".join(texts) == "ab"
        assert caught.value.code == "deadline_passed"
        fleet.decode.script.release("token 2")


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize(("worker", "step"), [("p0", "started"), ("d0", "token 3")])
async def test_a_client_that_hangs_up_cancels_both_legs(tmp_path: Path, streamed: bool, worker: str, step: str) -> None:
    async with pair(tmp_path) as fleet:
        script = fleet.rig.workers[worker].script
        script.hold(step)
        async with connected(fleet.address) as wire:
            await wire.post(PATH, prompt="hi", stream=streamed, max_tokens=9)
            await script.saw(step)
        await fleet.prefill.script.saw("cancelled" if worker == "p0" else "closed")
        if worker == "d0":
            await fleet.decode.script.saw("cancelled")
        await idle(fleet)
        script.release(step)


@pytest.mark.parametrize("streamed", [True, False])
async def test_the_official_clients_time_out_cancels_too(tmp_path: Path, streamed: bool) -> None:
    async with pair(tmp_path) as fleet, fleet.client(timeout=0.2) as client:
        fleet.prefill.script.hold("started")
        with pytest.raises(APITimeoutError):
            await all_of(client.completions.create(model="tiny", prompt="hi", stream=streamed))
        if fleet.prefill.script.seen("run"):
            await fleet.prefill.script.saw("cancelled")
        await idle(fleet)
        fleet.prefill.script.release("started")


async def test_a_reader_that_stalls_is_cut(tmp_path: Path) -> None:
    """The answer is longer than what sockets and buffers hold."""
    async with pair(tmp_path, timeouts=Timeouts(stalled_reader_s=0.2)) as fleet:
        async with connected(fleet.address, receive_bytes=4096) as wire:
            transport: Any = wire.writer.transport
            transport.pause_reading()
            await wire.post(PATH, prompt="hi", n=4, max_tokens=480, stream=True, logprobs=20)
            await fleet.prefill.script.saw("first")
            await idle(fleet)
            transport.resume_reading()
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError, ValueError)):
                [event async for event in wire.events()]
        answer = await post(fleet.address, PATH, prompt="hi", max_tokens=2, seed=0)
        assert answer.json["choices"][0]["text"] == "ab"


async def test_a_lost_worker_in_mid_stream_is_not_seen(tmp_path: Path) -> None:
    async with pair(tmp_path) as fleet, connected(fleet.address) as wire:
        fleet.decode.script.hold("token 3")
        await wire.post(PATH, prompt="hi", stream=True, max_tokens=6, seed=0)
        await fleet.decode.script.saw("token 3")
        await fleet.rig.decode("d1")
        await fleet.decode.member.die()
        await wire.head()
        events = [event async for event in wire.events()]
        assert "".join(event["choices"][0]["text"] for event in events[:-1]) == "abcdef"
        fleet.decode.script.release("token 3")


async def test_a_fleet_that_cannot_go_on_says_so_in_the_stream(tmp_path: Path) -> None:
    async with pair(tmp_path, max_attempts=1) as fleet, connected(fleet.address) as wire:
        fleet.decode.service.fail_kind = decode_pb2.FAILURE_KIND_INTERNAL
        await wire.post(PATH, prompt="hi", stream=True, max_tokens=6, seed=0)
        await wire.head()
        *_, last = [event async for event in wire.events()]
        assert last["error"]["code"] in ("unavailable", "internal_error")


async def test_one_connection_serves_many_requests(tmp_path: Path) -> None:
    async with pair(tmp_path) as fleet, connected(fleet.address) as wire:
        for _ in range(3):
            await wire.post(PATH, prompt="hi", stream=True, max_tokens=2, seed=0)
            await wire.head()
            assert [event async for event in wire.events()][-1] == "[DONE]"
            await wire.post(PATH, prompt="hi", max_tokens=2, seed=0)
            assert (await wire.answer()).json["choices"][0]["text"] == "ab"


async def test_draining_refuses_and_lets_streams_end(tmp_path: Path) -> None:
    async with pair(tmp_path) as fleet, connected(fleet.address) as wire:
        fleet.decode.script.hold("token 2")
        await wire.post(PATH, prompt="hi", stream=True, max_tokens=4, seed=0)
        await wire.head()
        draining = asyncio.create_task(fleet.rig.router.serving.drain(PATIENCE_S))
        await asyncio.sleep(0)
        refused = await post(fleet.address, PATH, prompt="hi")
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        state = await ask(fleet.address, "GET", "/ready")
        assert (state.status, state.json["phase"]) == (503, "draining")
        assert (await ask(fleet.address, "GET", "/health")).status == 200
        fleet.decode.script.release("token 2")
        events = [event async for event in wire.events()]
        assert events[-1] == "[DONE]"
        await draining
