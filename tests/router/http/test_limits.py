"""Bytes that are no request, too many, or too slow: answered in the same shape, and the next request is served."""

import asyncio
from pathlib import Path

import pytest

from common.types.http import HttpLimits
from tests.router.http.pair import pair
from tests.router.http.wire import ask, connected, post
from tests.router.script import PATIENCE_S

PATH = "/v1/completions"
NOTHING = b'{"prompt": "hi", "max_tokens": 1}'
BODIES = {
    b"": "is not JSON",
    b"{": "is not JSON",
    b"[1]": "must be a JSON object",
    b'{"prompt": "a", "prompt": "b"}': "key twice",
    b'{"prompt": "a", "temperature": NaN}': "NaN",
    b'{"prompt": "a", "temperature": 1e999}': "too large",
    b'{"prompt": "\xff"}': "UTF-8",
    b'{"prompt": "\\ud800"}': "surrogate",
    b'{"prompt": ' + b"[" * 100 + b"]" * 100 + b"}": "levels deep",
    b'{"prompt": "a", "seed": ' + b"1" * 5000 + b"}": "too long",
}


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
async def test_what_is_no_strict_json_is_refused(tmp_path: Path, body: bytes) -> None:
    async with pair(tmp_path) as fleet:
        answer = await ask(fleet.address, "POST", PATH, body)
        assert (answer.status, answer.error["param"]) == (400, "body")
        assert BODIES[body] in answer.error["message"]


async def test_other_types_are_refused(tmp_path: Path) -> None:
    async with pair(tmp_path) as fleet:
        for kind in ("text/plain", "", "application/x-www-form-urlencoded"):
            answer = await ask(fleet.address, "POST", PATH, NOTHING, content_type=kind)
            assert (answer.status, answer.error["code"]) == (415, "unsupported_media_type")
        answer = await ask(fleet.address, "POST", PATH, NOTHING, content_type="application/json; charset=utf-8")
        assert answer.status == 200


async def test_a_body_has_a_limit(tmp_path: Path) -> None:
    async with pair(tmp_path, HttpLimits(max_body_mib=0.01)) as fleet:
        announced = await ask(fleet.address, "POST", PATH, b"x" * 11_000)
        assert (announced.status, announced.error["code"]) == (413, "body_too_large")
        async with connected(fleet.address) as wire:
            await wire.send("POST", PATH, transfer_encoding="chunked", content_type="application/json")
            for _ in range(12):
                wire.writer.write(b"3e8\r\n" + b" " * 1000 + b"\r\n")
            assert (await wire.answer()).status == 413


async def test_all_bodies_together_have_a_limit(tmp_path: Path) -> None:
    async with pair(tmp_path, HttpLimits(max_bodies_mib=0.02)) as fleet, connected(fleet.address) as slow:
        await slow.send("POST", PATH, content_type="application/json", content_length="16000")
        slow.writer.write(b" " * 15_000)
        room = fleet.room
        async with asyncio.timeout(PATIENCE_S):
            while room.num_bytes < 15_000:
                await ask(fleet.address, "GET", "/health")
        refused = await ask(fleet.address, "POST", PATH, NOTHING + b" " * 9000)
        assert (refused.status, refused.error["code"]) == (429, "overloaded")
        assert (await post(fleet.address, PATH, prompt="hi", max_tokens=1)).status == 200
        slow.writer.write(NOTHING.rjust(1000))
        assert (await slow.answer()).status == 200
        assert room.num_bytes == 0


async def test_a_body_has_a_time(tmp_path: Path) -> None:
    async with pair(tmp_path, HttpLimits(receive_s=0.1)) as fleet, connected(fleet.address) as wire:
        await wire.send("POST", PATH, content_type="application/json", content_length="100")
        answer = await wire.answer()
        assert (answer.status, answer.error["code"]) == (408, "request_timeout")


async def test_headers_have_a_time_and_a_size(tmp_path: Path) -> None:
    async with pair(tmp_path, HttpLimits(receive_s=0.2, max_header_kib=4)) as fleet:
        async with connected(fleet.address) as wire:
            wire.writer.write(b"POST /v1/completions HTTP/1.1\r\nhost: x\r\n")
            assert (await wire.answer()).status == 408
            assert await wire.closed()
        async with connected(fleet.address) as wire:
            assert await wire.closed(), "who says nothing is told nothing"
        async with connected(fleet.address) as wire:
            await wire.send("GET", "/health", x_long="x" * 5000)
            assert (await wire.answer()).error["code"] == "headers_too_large"
        async with connected(fleet.address) as wire:
            await wire.send("GET", "/health?" + "x" * 5000)
            assert (await wire.answer()).status == 431
        async with connected(fleet.address) as wire:
            await wire.send("GET", "/health", None, **{f"x_{number}": "1" for number in range(150)})
            assert (await wire.answer()).status == 431
        assert (await ask(fleet.address, "GET", "/health")).status == 200


async def test_a_request_may_take_longer_than_its_headers(tmp_path: Path) -> None:
    async with pair(tmp_path, HttpLimits(receive_s=0.1)) as fleet, connected(fleet.address) as wire:
        fleet.prefill.script.hold("first")
        await wire.post(PATH, prompt="hi", max_tokens=1, seed=0)
        await fleet.prefill.script.saw("first")
        await asyncio.sleep(0.2)
        fleet.prefill.script.release("first")
        assert (await wire.answer()).json["choices"][0]["text"] == "a"


@pytest.mark.parametrize(
    "junk", [b"\x00" * 64, b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
)
async def test_junk_is_answered_and_closed(tmp_path: Path, junk: bytes) -> None:
    async with pair(tmp_path) as fleet, connected(fleet.address) as wire:
        wire.writer.write(junk)
        assert (await wire.answer()).status == 400
        assert await wire.closed()
        assert (await ask(fleet.address, "GET", "/health")).status == 200


async def test_connections_have_a_limit(tmp_path: Path) -> None:
    async with (
        pair(tmp_path, HttpLimits(max_connections=2)) as fleet,
        connected(fleet.address) as first,
        connected(fleet.address) as second,
    ):
        for wire in (first, second):
            await wire.send("GET", "/health")
            assert (await wire.answer()).status == 200
        async with connected(fleet.address) as third:
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await third.answer()


async def test_paths_and_methods_that_are_not_there(tmp_path: Path) -> None:
    async with pair(tmp_path) as fleet:
        for path in ("/v1/nothing", "/v1/chat/completions/", "/../etc/passwd", "/v1/%2e%2e/models", "//"):
            answer = await ask(fleet.address, "GET", path)
            assert (answer.status, answer.error["code"]) == (404, "not_found")
        answer = await ask(fleet.address, "GET", PATH)
        assert (answer.status, answer.error["code"]) == (405, "method_not_allowed")
        assert answer.headers["allow"] == "POST"
        assert (await post(fleet.address, PATH, prompt="hi", max_tokens=1)).status == 200
