"""The whole of it against servers in this process: results, report, refusals, interruption."""

import asyncio
import io
import json
import os
import signal
from pathlib import Path

import pytest
from rich.console import Console

from common.types.config_bench import BenchConfig
from common.types.errors import Unavailable
from common.types.options import ConfigError
from loadtest.bench.bench import INTERRUPTED, Bench
from tests.bench.http_server import END, HEAD, ScriptedHttp, Step, serving_http, token, usage, whole
from tests.bench.records import until
from tests.client.router import ScriptedInference, accepted, delta, done, serving

GOOD: list[Step] = [HEAD, token("a"), token("b"), usage(512, 2), END]
MODELS: list[Step] = [whole("200 OK", b'{"data": [{"id": "m-1"}]}')]


def bench(target: str, **options: object) -> tuple[Bench, io.StringIO]:
    out = io.StringIO()
    return Bench(BenchConfig(target=target, **options), Console(file=out, width=200)), out  # type: ignore[arg-type]


async def test_a_sweep_over_http(tmp_path: Path) -> None:
    server = ScriptedHttp(MODELS, *[GOOD] * 7)
    async with serving_http(server) as url:
        made, out = bench(
            url,
            rate=("inf", "500"),
            requests=3,
            warm_up=1,
            goodput=("ttft:5000",),
            label="mine",
            json=str(tmp_path / "r.json"),
            report=str(tmp_path / "r.html"),
        )
        assert await made.run() == 0
    first, second = json.loads((tmp_path / "r.json").read_text())
    assert (first["completed"], first["request_rate"], second["request_rate"]) == (3, "inf", 500.0)
    assert (first["model_id"], first["label"], first["good_requests"]) == ("m-1", "mine", 3)
    assert first["input_lens"] == [512] * 3
    prompts = [json.dumps(body["prompt"]) for _, body in server.requests[1:]]
    assert len(set(prompts)) == 7
    assert "<svg" in (tmp_path / "r.html").read_text()
    assert "3 requests completed, 0 failed" in out.getvalue()


async def test_one_run_over_grpc_is_one_object(tmp_path: Path) -> None:
    inference = ScriptedInference()
    inference.scripts += [[accepted(), delta("a"), delta("b"), done(2)] for _ in range(3)]
    async with serving(inference) as address:
        made, _ = bench(address, requests=2, warm_up=1, json=str(tmp_path / "r.json"))
        assert await made.run() == 0
    found = json.loads((tmp_path / "r.json").read_text())
    assert (found["backend"], found["completed"], found["max_concurrency"]) == ("baton-grpc", 2, 1)
    assert max(found["ttfts"]) > 0
    assert max(max(request.tokens.ids) for request in inference.requests) < 9


async def test_a_closed_loop_of_some_duration_sends_until_it_is_over() -> None:
    server = ScriptedHttp(*[GOOD] * 50000)
    async with serving_http(server) as url:
        made, _ = bench(url, model_id="m", concurrency=("3",), duration_s=1.0, warm_up=0)
        assert await made.run() == 0
    (found,) = made.results
    assert found["completed"] == len(server.requests) > 3
    assert found["max_concurrent_requests"] <= 3


async def test_answers_are_kept_only_when_asked_for() -> None:
    for texts, kept in ((True, ["ab", "ab"]), (False, [])):
        async with serving_http(ScriptedHttp(*[GOOD] * 2)) as url:
            made, _ = bench(url, model_id="m", requests=2, warm_up=0, texts=texts)
            await made.run()
        assert made.results[0]["generated_texts"] == kept


async def test_a_trace_is_replayed(tmp_path: Path) -> None:
    rows = [{"timestamp": 10 * at, "input_length": 20 + at, "output_length": 2, "hash_ids": []} for at in range(4)]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    server = ScriptedHttp(*[GOOD] * 4)
    async with serving_http(server) as url:
        made, _ = bench(url, model_id="m", warm_up=0, trace=str(tmp_path / "t.jsonl"), time_scale=0.1)
        assert await made.run() == 0
    (found,) = made.results
    assert (found["request_rate"], found["completed"]) == ("trace", 4)
    assert sorted(len(body["prompt"]) for _, body in server.requests) == [20, 21, 22, 23]  # type: ignore[arg-type]


async def test_a_key_is_shown_to_the_server() -> None:
    server = ScriptedHttp(MODELS, GOOD)
    async with serving_http(server) as url:
        made, _ = bench(url, requests=1, warm_up=0, api_key="k-1")
        await made.run()
    assert all("Authorization: Bearer k-1" in head for head in server.heads)


async def test_failures_are_results() -> None:
    server = ScriptedHttp(GOOD, [whole("503 Busy", b"")])
    async with serving_http(server) as url:
        made, out = bench(url, model_id="m", requests=2, warm_up=0)
        assert await made.run() == 0
    assert "1 x HTTP 503" in out.getvalue()


async def test_a_server_that_refuses_the_warm_up_is_not_measured() -> None:
    server = ScriptedHttp(*[[whole("400 Bad Request", b"")]] * 2)
    async with serving_http(server) as url:
        made, _ = bench(url, model_id="m")
        with pytest.raises(ConfigError, match="HTTP 400"):
            await made.run()


async def test_nobody_there() -> None:
    async with serving_http(ScriptedHttp()) as url:
        pass
    with pytest.raises(Unavailable):
        await bench(url)[0].run()


async def test_ctrl_c_keeps_what_came(tmp_path: Path) -> None:
    held = asyncio.Event()
    server = ScriptedHttp(GOOD, [HEAD, token("a"), held])
    async with serving_http(server) as url:
        made, out = bench(url, model_id="m", requests=9, warm_up=0, rate=("inf", "1"), json=str(tmp_path / "r.json"))
        made._loads = made._loads[:1]
        running = asyncio.create_task(made.run())
        await until(lambda: len(server.requests) == 2)
        os.kill(os.getpid(), signal.SIGINT)
        assert await running == INTERRUPTED
    found = json.loads((tmp_path / "r.json").read_text())
    assert found["interrupted"]
    assert found["error_kinds"]["interrupted"] >= 1
    assert "interrupted" in out.getvalue()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"json": "/nowhere/at/all.json"}, "cannot be written"),
        ({"report": "."}, "cannot be written"),
        ({"trace": "/nowhere.csv"}, "cannot be read"),
        ({"input_tokens": "file:/nowhere"}, "cannot be read"),
        ({"goodput": ("x:1",)}, "--goodput"),
        ({"rate": ("0",)}, "--rate"),
        ({"tokenizer": "/nowhere"}, "tokenizer"),
    ],
)
def test_mistakes_are_told_before_any_load(options: dict[str, object], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        bench("127.0.0.1:1", **options)
