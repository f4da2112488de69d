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
