"""Requests as no library frames them: two meanings, no end, too early, or for something else than HTTP."""

import asyncio
import json
from pathlib import Path

import pytest

from common.types.http import HttpLimits
from tests.router.http.pair import Pair, pair
from tests.router.http.wire import Answer, ask, connected
from tests.router.script import PATIENCE_S

PATH = "/v1/completions"
BODY = b'{"prompt": "hi", "max_tokens": 2, "seed": 0}'
HEALTH = b"GET /health HTTP/1.1\r\nhost: t\r\n\r\n"


def request(*lines: str, body: bytes = BODY, first: str = f"POST {PATH} HTTP/1.1") -> bytes:
    """With the length and the type that belong to the body, and further header lines."""
    own = ["host: t", "content-type: application/json", f"content-length: {len(body)}"]
    return "\r\n".join([first, *own, *lines, "", ""]).encode() + body


def head(*lines: str) -> bytes:
    """Headers only, without any that say where the body ends."""
    return "\r\n".join([f"POST {PATH} HTTP/1.1", "host: t", "content-type: application/json", *lines, "", ""]).encode()


async def answered(fleet: Pair, data: bytes) -> Answer:
    async with connected(fleet.address) as wire:
        wire.writer.write(data)
        return await wire.answer()


async def idle(fleet: Pair) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await fleet.rig.router.serving.idle.wait()


TWO_MEANINGS = {
    "length and chunks": head("content-length: 5", "transfer-encoding: chunked") + b"0\r\n\r\n",
    "two lengths": request(f"content-length: {len(BODY)}"),
    "two other lengths": request("content-length: 3"),
    "a length below zero": head("content-length: -1"),
    "a signed length": head("content-length: +44"),
    "a length beyond counting": head("content-length: " + "9" * 30),
    "a coding that is not read": head("transfer-encoding: gzip"),
    "chunked, and then something": head("transfer-encoding: chunked, gzip") + b"0\r\n\r\n",
    "a chunk of no size": head("transfer-encoding: chunked") + b"zz\r\n",
    "a chunk longer than it says": head("transfer-encoding: chunked") + b"2\r\n{}{}\r\n0\r\n\r\n",
    "a folded header": head("x-a: 1\r\n 2"),
    "a space before the colon": head("content-length : 44"),
    "a control character": head("x-a: 1\x002"),
    "a path that is no text": b"GET /\xff\xfe HTTP/1.1\r\nhost: t\r\n\r\n",
    "a version that is not there": b"GET /health HTTP/9.7\r\nhost: t\r\n\r\n",
    "a tunnel": b"CONNECT elsewhere:80 HTTP/1.1\r\nhost: t\r\n\r\n",
}


async def test_what_could_mean_two_things_is_no_request(tmp_path: Path) -> None:
    async with pair(tmp_path) as fleet:
        for what, data in TWO_MEANINGS.items():
            async with connected(fleet.address) as wire:
                wire.writer.write(data)
                answer = await wire.answer()
                assert (answer.status, answer.error["code"]) == (400, "bad_request"), what
                assert answer.headers["connection"] == "close"
                assert await wire.closed(), what
        assert not fleet.prefill.service.requests, "none of it was computed"


async def test_a_length_beyond_every_limit_is_not_waited_for(tmp_path: Path) -> None:
    async with pair(tmp_path) as fleet:
        assert (await answered(fleet, head("content-length: 9999999999999999999"))).status == 413


async def test_a_body_may_come_byte_by_byte_and_in_chunks_of_any_size(tmp_path: Path) -> None:
    async with pair(tmp_path) as fleet:
        for size in (1, 7, len(BODY)):
            chunks = [BODY[start : start + size] for start in range(0, len(BODY), size)]
            async with connected(fleet.address) as wire:
                wire.writer.write(head("transfer-encoding: chunked"))
                for chunk in chunks:
                    wire.writer.write(b"%X;ext=1\r\n%b\r\n" % (len(chunk), chunk))
                    await wire.writer.drain()
                wire.writer.write(b"0\r\nx-trailer: 1\r\n\r\n")
                assert (await wire.answer()).json["choices"][0]["text"] == "ab"


async def test_a_request_cut_anywhere_is_the_same_request(tmp_path: Path) -> None:
    data = request()
    async with pair(tmp_path) as fleet, connected(fleet.address) as wire:
        for cut in range(1, len(data), 23):
            wire.writer.write(data[:cut])
            await wire.writer.drain()
            await asyncio.sleep(0)
            wire.writer.write(data[cut:])
            assert (await wire.answer()).json["choices"][0]["text"] == "ab"


async def test_who_asks_to_continue_is_told_to(tmp_path: Path) -> None:
    async with pair(tmp_path) as fleet, connected(fleet.address) as wire:
        wire.writer.write(request("expect: 100-continue", body=BODY)[: -len(BODY)])
        assert (await wire.head()).status == 100
        wire.writer.write(BODY)
        assert (await wire.answer()).json["choices"][0]["text"] == "ab"


async def test_who_would_be_refused_anyway_is_not_asked_for_the_body(tmp_path: Path) -> None:
    async with pair(tmp_path) as fleet:
        for lines in (["content-type: text/plain", "content-length: 9"], ["content-length: 99999999"]):
            head_only = "\r\n".join([f"POST {PATH} HTTP/1.1", "host: t", "expect: 100-continue", *lines, "", ""])
            assert (await answered(fleet, head_only.encode())).status == 415


async def test_other_protocols_are_not_changed_to(tmp_path: Path) -> None:
    async with pair(tmp_path) as fleet, connected(fleet.address) as wire:
        for protocol in ("websocket", "h2c"):
            upgrade = f"GET /health HTTP/1.1\r\nhost: t\r\nconnection: upgrade\r\nupgrade: {protocol}\r\n\r\n"
            wire.writer.write(upgrade.encode())
            assert (await wire.answer()).json == {"status": "ok"}
        wire.writer.write(HEALTH)
        assert (await wire.answer()).status == 200


@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
async def test_a_body_that_comes_with_such_a_wish_is_read(tmp_path: Path, protocol: str) -> None:
    """Java's own client wishes for HTTP/2 with every request."""
    wish = ["connection: Upgrade, HTTP2-Settings", f"upgrade: {protocol}", "http2-settings: AAEAAEAA"]
    whole, data = request(*wish), head(*wish, "transfer-encoding: chunked")
    pieces = b"".join(b"%x\r\n%b\r\n" % (len(BODY[at : at + 9]), BODY[at : at + 9]) for at in range(0, len(BODY), 9))
    async with pair(tmp_path) as fleet, connected(fleet.address) as wire:
        for sent in (whole, data + pieces + b"0\r\n\r\n"):
            for cut in (0, len(sent) - len(BODY), len(sent) - 20, len(sent) - 1):
                wire.writer.write(sent[:cut])
                await wire.writer.drain()
                await asyncio.sleep(0)
                wire.writer.write(sent[cut:])
                assert (await wire.answer()).json["choices"][0]["text"] == "ab"
        wire.writer.write(request(*wish, body=b'{"prompt": 1}'))
        assert (await wire.answer()).error["param"] == "prompt"
        wire.writer.write(head(*wish, "content-length: 9", "transfer-encoding: chunked") + b"0\r\n\r\n")
        assert (await wire.answer()).error["code"] == "bad_request", "two meanings stay two"


async def test_a_head_is_an_answer_without_its_body(tmp_path: Path) -> None:
    async with pair(tmp_path) as fleet:
        for path, status in (("/health", 200), ("/v1/models", 200), ("/v1/nothing", 404), (PATH, 405)):
            async with connected(fleet.address) as wire:
                await wire.send("HEAD", path, connection="close")
                got = await wire.head()
                assert (got.status, int(got.headers["content-length"]) > 0) == (status, True)
                assert await wire.closed(), "nothing follows the headers"


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"])
async def test_other_methods_are_named_as_such(tmp_path: Path, method: str) -> None:
    async with pair(tmp_path) as fleet:
        answer = await ask(fleet.address, method, PATH, BODY, origin="https://evil.example")
        assert (answer.status, answer.headers["allow"]) == (405, "POST")
        assert not any(name.startswith("access-control") for name in answer.headers)


async def test_old_clients_get_their_answer_and_an_end(tmp_path: Path) -> None:
    async with pair(tmp_path) as fleet, connected(fleet.address) as wire:
        wire.writer.write(request(first=f"POST {PATH} HTTP/1.0"))
        assert (await wire.answer()).json["choices"][0]["text"] == "ab"
        assert await wire.closed()


@pytest.mark.parametrize("keeps", [False, True])
async def test_old_clients_get_streams_until_the_connection_ends(tmp_path: Path, keeps: bool) -> None:
    """They know no chunks; also one that would keep its connection."""
    body = b'{"prompt": "hi", "max_tokens": 3, "seed": 0, "stream": true}'
    lines = ["connection: keep-alive"] if keeps else []
    async with pair(tmp_path) as fleet, connected(fleet.address) as wire:
        wire.writer.write(request(*lines, first=f"POST {PATH} HTTP/1.0", body=body))
        got = await wire.head()
        assert (got.status, got.headers.get("transfer-encoding"), got.headers["connection"]) == (200, None, "close")
        async with asyncio.timeout(PATIENCE_S):
            text = await wire.reader.read()
        *events, done, end = text.split(b"\n\n")
        assert (done, end) == (b"data: [DONE]", b"")
        texts = [json.loads(event.removeprefix(b"data: "))["choices"][0]["text"] for event in events]
        assert "".join(texts) == "abc"
        answer = await answered(fleet, request(first=f"POST {PATH} HTTP/1.0", body=b'{"prompt": 1, "stream": true}'))
        assert answer.status == 400


@pytest.mark.parametrize("next_one", [HEALTH, b"junk junk junk\r\n\r\n", b"GET /he"], ids=["whole", "junk", "part"])
async def test_what_comes_before_the_answer_is_not_read(tmp_path: Path, next_one: bytes) -> None:
    async with pair(tmp_path, HttpLimits(receive_s=0.05)) as fleet, connected(fleet.address) as wire:
        fleet.prefill.script.hold("started")
        wire.writer.write(request() + next_one)
        await fleet.prefill.script.saw("started")
        await asyncio.sleep(0.1)
        fleet.prefill.script.release("started")
        answer = await wire.answer()
        assert answer.json["choices"][0]["text"] == "ab"
        assert await wire.closed()


@pytest.mark.parametrize("streamed", [b"false", b"true"])
async def test_who_asks_twice_and_hangs_up_is_noticed(tmp_path: Path, streamed: bytes) -> None:
    async with pair(tmp_path) as fleet:
        fleet.prefill.script.hold("started")
        async with connected(fleet.address) as wire:
            body = b'{"prompt": "hi", "stream": %b}' % streamed
            wire.writer.write(request(body=body) + request(body=body))
            await fleet.prefill.script.saw("started")
        await idle(fleet)
        assert len(fleet.prefill.service.requests) == 1
        fleet.prefill.script.release("started")


async def test_nothing_but_a_request_keeps_a_connection(tmp_path: Path) -> None:
    """Blank lines are none; nor is the rest of a body that was refused before it was read."""
    async with (
        pair(tmp_path, HttpLimits(idle_s=1.0)) as fleet,
        connected(fleet.address) as blank,
        connected(fleet.address) as rest,
    ):
        blank.writer.write(HEALTH)
        assert (await blank.answer()).status == 200
        blank.writer.write(b"\r\n")
        rest.writer.write(b"POST /v1/completions HTTP/1.1\r\nhost: t\r\ncontent-length: 99\r\n\r\n{")
        assert (await rest.answer()).status == 415
        rest.writer.write(b'"')
        assert all(await asyncio.gather(blank.closed(), rest.closed()))


async def test_a_connection_in_use_is_not_idle(tmp_path: Path) -> None:
    async with pair(tmp_path, HttpLimits(idle_s=0.6)) as fleet, connected(fleet.address) as wire:
        wire.writer.write(HEALTH)
        await wire.answer()
        wire.writer.write(b"\r\n" + request()[:-1])
        fleet.prefill.script.hold("started")
        wire.writer.write(BODY[-1:])
        await fleet.prefill.script.saw("started")
        await asyncio.sleep(1.1)
        fleet.prefill.script.release("started")
        assert (await wire.answer()).json["choices"][0]["text"] == "ab"
