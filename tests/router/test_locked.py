"""A router with its keys on: every route and every method is closed to strangers, and tells them nothing but that."""

import asyncio
import contextlib
import http.client
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from baton.v1 import fleet_pb2, inference_pb2
from common.net.dial import Dial, authorization
from common.types.access import Access
from common.types.keys import Key, digest_of, fleet_key, line_of
from router.http import routes
from router.keys import Needs
from router.service_keys import needs_of
from tests.router.rig import Rig, rig, status_of

ALICE, LIMITED, ADMIN, FLEET = "alice's", "limited's", "root's", fleet_key("k")
KEYS = (
    Key("alice", digest_of(ALICE)),
    Key("limited", digest_of(LIMITED), requests_per_min=2, tokens_per_min=30),
    Key("root", digest_of(ADMIN), admin=True),
)
LEAKS = re.compile(r"Traceback|Error\(|/[a-z]+/[a-z]+\.|127\.0\.0\.1|\.py|sha256")
SERVICES = (inference_pb2.DESCRIPTOR.services_by_name["Inference"], fleet_pb2.DESCRIPTOR.services_by_name["Fleet"])
METHODS = [f"/{service.full_name}/{method.name}" for service in SERVICES for method in service.methods]
REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"


@dataclass
class Answer:
    """What a client of HTTP got."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def error(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.text)["error"]
        return found


async def ask(fleet: Rig, method: str, path: str, key: str = "", body: object = None) -> Answer:
    """Over a connection of its own."""

    def send() -> Answer:
        connection = http.client.HTTPConnection(fleet.router.http_address, timeout=20)
        headers = dict(authorization(key)) | {"content-type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        got = connection.getresponse()
        text = got.read().decode()
        connection.close()
        return Answer(got.status, {name.lower(): value for name, value in got.getheaders()}, text)

    return await asyncio.to_thread(send)


@asynccontextmanager
async def locked(folder: Path) -> AsyncIterator[Rig]:
    path = folder / "keys"
    path.write_text("".join(line_of(key) + "\n" for key in KEYS))
    async with rig(folder, access=Access(keys=str(path))) as fleet:
        yield fleet


async def call(fleet: Rig, method: str, key: str = "") -> grpc.StatusCode:
    """Of one with an empty message, however it streams: how it ends."""
    channel = fleet.fleet_channel if "Fleet" in method else fleet.channel
    made: Any = channel.stream_stream(method)(metadata=authorization(key), timeout=20)
    with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
        await made.write(b"")
        await made.done_writing()
        while await made.read() is not grpc.aio.EOF:
            continue
    assert not LEAKS.search(await made.details())
    code: grpc.StatusCode = await made.code()
    return code


@pytest.mark.parametrize("route", routes.ROUTES, ids=lambda route: f"{route.method} {route.path}")
async def test_every_route_but_liveness_is_closed(tmp_path: Path, route: routes.Served) -> None:
    path = re.sub(r"\{[^}]+\}", "x", route.path)
    async with locked(tmp_path) as fleet:
        bare = await ask(fleet, route.method, path)
        wrong = await ask(fleet, route.method, path, "a guess")
        if route.key is routes.Key.NONE:
            assert bare.status not in (401, 403)
            return
        for answer in (bare, wrong):
            assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")
            scheme = "Basic" if route.path.startswith("/page/") or route.path == "/" else "Bearer"
            assert answer.headers["www-authenticate"].split()[0] == scheme
            assert not LEAKS.search(answer.text)
        assert (await ask(fleet, route.method, path, ADMIN)).status not in (401, 403)
        expected = 403 if route.key is routes.Key.ADMIN else None
        assert ((await ask(fleet, route.method, path, ALICE)).status == 403) is (expected == 403)


async def test_only_probes_take_no_key() -> None:
    open_routes = {route.path for route in routes.ROUTES if route.key is routes.Key.NONE}
    assert {"/health", "/ready"} <= open_routes <= {"/", "/health", "/ready", "/favicon.ico"}


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/", "/v1/models/", "//v1/models", "/fleet/", "/nothing", "/health/x"])
async def test_what_is_at_no_route_is_closed_too(tmp_path: Path, path: str) -> None:
    if path in {route.path for route in routes.ROUTES}:
        pytest.skip("it is a route")
    async with locked(tmp_path) as fleet:
        assert (await ask(fleet, "GET", path)).status == 401
        assert (await ask(fleet, "GET", path, ALICE)).status in (403, 404)


@pytest.mark.parametrize("method", [*METHODS, REFLECTION])
async def test_every_method_but_health_is_closed(tmp_path: Path, method: str) -> None:
    async with locked(tmp_path) as fleet:
        assert await call(fleet, method) is grpc.StatusCode.UNAUTHENTICATED
        assert await call(fleet, method, "a guess") is grpc.StatusCode.UNAUTHENTICATED
        enough = {Needs.API: ALICE, Needs.ADMIN: ADMIN, Needs.FLEET: FLEET}[needs_of(method)]
        assert await call(fleet, method, enough) not in (
            grpc.StatusCode.UNAUTHENTICATED,
            grpc.StatusCode.PERMISSION_DENIED,
        )


async def test_operators_methods_take_more_than_a_clients_key(tmp_path: Path) -> None:
    async with locked(tmp_path) as fleet:
        for method in (method for method in METHODS if "Fleet" in method):
            assert await call(fleet, method, ALICE) is grpc.StatusCode.PERMISSION_DENIED
        assert await call(fleet, "/baton.v1.Fleet/Join", ADMIN) is grpc.StatusCode.PERMISSION_DENIED


async def test_liveness_takes_no_key(tmp_path: Path) -> None:
    async with locked(tmp_path) as fleet:
        for channel in (fleet.channel, fleet.fleet_channel):
            await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())


async def test_a_key_serves_until_its_limit_and_the_limit_is_named(tmp_path: Path) -> None:
    async with locked(tmp_path) as fleet:
        answers = [await ask(fleet, "GET", "/v1/models", LIMITED) for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 429]
        last = answers[-1]
        assert last.error["code"] == "rate_limit_exceeded"
        assert "2 requests a minute" in last.error["message"]
        assert 1 <= int(last.headers["retry-after"]) <= 31
        assert (await ask(fleet, "GET", "/v1/models", ALICE)).status == 200
        assert fleet.router.serving.tally.refused["key_requests"] == 1


async def test_tokens_are_limited_over_both_fronts(tmp_path: Path) -> None:
    async with locked(tmp_path) as fleet:
        await fleet.prefill(dial=Dial(FLEET))
        await fleet.decode(dial=Dial(FLEET))
        body = {"model": "tiny", "prompt": "hello", "max_tokens": 20, "seed": 0}
        assert (await ask(fleet, "POST", "/v1/completions", LIMITED, body)).status == 200
        generate = fleet.inference.Generate(
            inference_pb2.GenerateRequest(text="hello", max_tokens=20), metadata=authorization(LIMITED), timeout=20
        )
        with pytest.raises(grpc.aio.AioRpcError, match="30 tokens a minute") as caught:
            await generate.read()
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "RetryInfo" in str(status_of(caught.value))


async def test_tenants_share_no_prefix_cache(tmp_path: Path) -> None:
    async with locked(tmp_path) as fleet:
        prefill = await fleet.prefill(dial=Dial(FLEET))
        await fleet.decode(dial=Dial(FLEET))
        body = {"model": "tiny", "prompt": "hello", "max_tokens": 3}
        for key in (ALICE, ADMIN, ALICE):
            assert (await ask(fleet, "POST", "/v1/completions", key, body)).status == 200
        salts = [run.attempt.cache_salt for run in prefill.service.requests]
        assert salts[0] == salts[2] != salts[1]
        assert all(salts)
