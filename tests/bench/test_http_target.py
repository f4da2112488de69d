"""The HTTP client against a real server in this process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from common.types.errors import Unavailable
from common.types.options import ConfigError
from loadtest.bench.http_target import HttpTarget
from loadtest.bench.record import Planned, Record
from loadtest.bench.target import Asking, Served
from tests.bench.http_server import END, HEAD, ScriptedHttp, Step, chunk, serving_http, token, usage, whole
from tests.bench.records import until

PLANNED = Planned(0, 0.0, (7, 8, 9), 3, 4)
GOOD: list[Step] = [HEAD, token("a"), token("b") + token("c") + token("", "length") + usage(3, 4), END]
MODELS = b'{"object": "list", "data": [{"id": "m-1"}, {"id": "m-2"}]}'


@asynccontextmanager
async def target_of(server: ScriptedHttp, api: str = "completions", **asking: object) -> AsyncIterator[HttpTarget]:
    async with serving_http(server) as url:
        target = HttpTarget(url, api, Asking(**asking))  # type: ignore[arg-type]
        try:
            yield target
        finally:
            await target.close()


async def sent(target: HttpTarget, planned: Planned = PLANNED) -> Record:
    record = Record(0.0, planned.num_input)
    await target.send(planned, record)
    return record


async def test_an_answer_is_noted_message_by_message() -> None:
    server = ScriptedHttp(GOOD)
    async with target_of(server, model_id="m", texts=True) as target:
        record = await sent(target)
    assert record.ok
    assert (len(record.arrivals), record.num_output, record.num_input, record.text) == (3, 4, 3, "abc")
    assert record.start_s < record.arrivals[0] <= record.arrivals[-1] <= record.end_s
    ((path, body),) = server.requests
    assert path == "/v1/completions"
    assert (body["model"], body["prompt"], body["max_tokens"], body["stream"]) == ("m", [7, 8, 9], 4, True)
    assert body["stream_options"] == {"include_usage": True}


async def test_an_answer_without_a_whole_character_came_when_it_ended() -> None:
    server = ScriptedHttp([HEAD, token("", "length") + usage(3, 4), END])
    async with target_of(server) as target:
        record = await sent(target)
    assert record.ok
    assert (len(record.arrivals), record.num_output) == (1, 4)


async def test_a_chat_is_one_message_of_the_user() -> None:
    server = ScriptedHttp(GOOD)
    async with target_of(server, "chat", api_key="k-1") as target:
        await sent(target, Planned(0, 0.0, "hello", 1, 4))
    ((path, body),) = server.requests
    assert (path, body["messages"]) == ("/v1/chat/completions", [{"role": "user", "content": "hello"}])
    assert "Authorization: Bearer k-1" in server.heads[0]


async def test_tokens_are_timed_when_they_come() -> None:
    gate = asyncio.Event()
    server = ScriptedHttp([HEAD, token("a"), gate, token("b"), END])
    async with target_of(server) as target:
        record = Record(0.0, 3)
        sending = asyncio.create_task(target.send(PLANNED, record))
        await until(lambda: bool(record.arrivals))
        seen = asyncio.get_running_loop().time()
        gate.set()
        await sending
    assert record.arrivals[0] <= seen <= record.arrivals[1]


async def test_a_connection_is_used_again() -> None:
    server = ScriptedHttp(GOOD, GOOD, GOOD)
    async with target_of(server) as target:
        assert [(await sent(target)).ok for _ in range(3)] == [True] * 3
    assert server.num_connections == 1


async def test_a_kept_connection_that_was_closed_is_replaced() -> None:
    server = ScriptedHttp([*GOOD, None], GOOD)
    async with target_of(server) as target:
        assert (await sent(target)).ok
        assert (await sent(target)).ok
    assert server.num_connections == 2


async def test_many_at_once_have_connections_of_their_own() -> None:
    gate = asyncio.Event()
    script: list[Step] = [HEAD, token("a"), gate, END]
    server = ScriptedHttp(*[script] * 5)
    async with target_of(server) as target:
        sending = [asyncio.create_task(sent(target)) for _ in range(5)]
        await until(lambda: server.num_connections == 5)
        gate.set()
        assert all(record.ok for record in await asyncio.gather(*sending))


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ([whole("503 Service Unavailable", b'{"error": {}}')], "HTTP 503"),
        ([HEAD, END], "no token came"),
        ([HEAD, token("a"), None], "connection lost"),
        ([None], "connection lost"),
        ([b"hello\r\n\r\n"], "malformed answer"),
        ([HEAD, chunk(b"data: {\n\n"), END], "malformed answer"),
        ([HEAD, token("a"), chunk(b'data: {"error": {"code": "lost"}}\n\n'), END], "stream error lost"),
    ],
)
async def test_failures_have_kinds(script: list[Step], kind: str) -> None:
    server = ScriptedHttp(script, GOOD)
    async with target_of(server) as target:
        record = await sent(target)
        assert (record.error, record.ok) == (kind, False)
        assert record.end_s >= record.start_s > 0
        assert (await sent(target)).ok


async def test_a_deadline() -> None:
    server = ScriptedHttp([HEAD, token("a"), asyncio.Event()])
    async with target_of(server, deadline_s=1.5) as target:
        record = await sent(target)
    assert (record.error, len(record.arrivals)) == ("deadline passed", 1)


async def test_leaving_is_an_interruption() -> None:
    server = ScriptedHttp([HEAD, token("a"), asyncio.Event()])
    async with target_of(server) as target:
        record = Record(0.0, 3)
        sending = asyncio.create_task(target.send(PLANNED, record))
        await until(lambda: bool(record.arrivals))
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
    assert record.error == "interrupted"


async def test_nobody_there() -> None:
    async with serving_http(ScriptedHttp()) as url:
        pass
    target = HttpTarget(url, "completions", Asking())
    assert (await sent(target)).error == "cannot connect"
    with pytest.raises(Unavailable):
        await target.served()


async def test_a_server_may_say_that_it_is_not_ready() -> None:
    models = b'{"data": [{"id": "m-1", "ready": false}]}'
    async with target_of(ScriptedHttp([whole("200 OK", models)])) as target:
        assert await target.served() == Served("m-1", ready=False)


async def test_the_servers_first_model_is_taken_unless_one_is_named() -> None:
    server = ScriptedHttp([whole("200 OK", MODELS)])
    async with target_of(server) as target:
        assert await target.served() == Served("m-1")
    assert server.requests == [("/v1/models", {})]
    async with target_of(ScriptedHttp(), model_id="mine") as target:
        assert await target.served() == Served("mine")


@pytest.mark.parametrize(
    "answer",
    [
        whole("404 Not Found", b"{}"),
        whole("200 OK", b'{"data": []}'),
        whole("200 OK", b"x"),
        whole("200 OK", b'{"data": ["m"]}'),
    ],
)
async def test_a_server_without_a_list_of_models(answer: bytes) -> None:
    async with target_of(ScriptedHttp([answer])) as target:
        with pytest.raises(ConfigError, match="no list of models"):
            await target.served()


@pytest.mark.parametrize(
    ("path", "asked"),
    [("", "/v1/completions"), ("/v1/", "/v1/completions"), ("/a/v1/chat/completions", "/a/v1/completions")],
)
async def test_urls_may_name_more_than_the_host(path: str, asked: str) -> None:
    server = ScriptedHttp(GOOD)
    async with serving_http(server) as url:
        target = HttpTarget(url + path, "completions", Asking())
        await sent(target)
        await target.close()
    assert server.requests[0][0] == asked


@pytest.mark.parametrize("url", ["ftp://x", "http://", "x:1"])
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(ConfigError, match="no URL"):
        HttpTarget(url, "chat", Asking())
