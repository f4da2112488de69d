"""Models, tokens and probes; and that every route of the table is there, and answers in its own shape."""

import asyncio
import json
import re
from pathlib import Path

import pytest

from common.types.config import RouterConfig
from router.doors import make_doors
from router.http.gateway import Gateway
from router.http.routes import ROUTES
from tests.router.fake_workers import A
from tests.router.http.pair import pair
from tests.router.http.wire import ask, post
from tests.router.rig import failure, status_of


async def test_before_the_model_is_read_probes_say_so() -> None:
    config = RouterConfig(model="", http="127.0.0.1:0")
    gateway = await Gateway.open(config, make_doors(config, print))
    try:
        gateway.phase("reading the tokenizer")
        assert (await ask(gateway.address, "GET", "/health")).status == 200
        state = await ask(gateway.address, "GET", "/ready")
        assert (state.status, state.json["phase"], state.json["reason"]) == (503, "starting", "reading the tokenizer")
        refused = await post(gateway.address, "/v1/completions", prompt="hi")
        assert (refused.status, refused.error["code"]) == (503, "unavailable")
        assert refused.headers["retry-after"] == "1"
    finally:
        await gateway.stop()


async def test_ready_says_what_is_missing(tmp_path: Path) -> None:
    async with pair(tmp_path) as fleet:
        state = await ask(fleet.address, "GET", "/ready")
        assert state.status == 200
        assert state.json == {
            "ready": True,
            "phase": "serving",
            "reason": "",
            "members": {"prefill": 1, "decode": 1},
        }
        await fleet.decode.member.leave()
        await fleet.rig.until(lambda: len(fleet.rig.router.fleet.members()) == 1)
        state = await ask(fleet.address, "GET", "/ready")
        assert (state.status, state.json["phase"], state.json["reason"]) == (503, "waiting", "no decode member is up")
        refused = await post(fleet.address, "/v1/completions", prompt="hi")
        assert (refused.status, refused.error["code"]) == (503, "unavailable")


async def test_members_that_drain_are_not_members_that_are_gone(tmp_path: Path) -> None:
    async with pair(tmp_path) as fleet:
        view = fleet.rig.router.fleet
        view.drain("d0", leave=False)
        reason = (await ask(fleet.address, "GET", "/ready")).json["reason"]
        refused = await post(fleet.address, "/v1/completions", prompt="hi")
        assert reason == refused.error["message"] == "every decode member is draining"
        assert "every decode member is draining" in status_of(await failure(fleet.rig.generate())).message
        view.resume("d0")
        view.doubt(next(each.hello for each in view.members() if each.hello.member == "d0"))
        assert view.why_no_decode() == "no decode member can be reached now"


async def test_models(tmp_path: Path) -> None:
    async with pair(tmp_path) as fleet, fleet.client() as client:
        listed = await client.models.list()
        assert [model.id for model in listed.data] == ["tiny"]
        model = await client.models.retrieve("tiny")
        assert model == listed.data[0]
        assert model.model_extra is not None
        assert model.model_extra["ready"] is True
        missing = await ask(fleet.address, "GET", "/v1/models/some/other")
        assert (missing.status, missing.error["code"], missing.error["param"]) == (404, "model_not_found", "model")


async def test_tokens_there_and_back(tmp_path: Path) -> None:
    async with pair(tmp_path) as fleet:
        there = await post(fleet.address, "/tokenize", prompt="abc", return_token_strs=True)
        assert there.json == {
            "count": 3,
            "max_model_len": 512,
            "tokens": [A, A + 1, A + 2],
            "token_strs": ["a", "b", "c"],
        }
        back = await post(fleet.address, "/detokenize", tokens=there.json["tokens"])
        assert back.json == {"prompt": "abc"}


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/tokenize", {}, "prompt"),
        ("/tokenize", {"prompt": "a", "messages": [{"role": "user", "content": "x"}]}, "prompt"),
        ("/tokenize", {"prompt": "a", "tools": []}, "tools"),
        ("/tokenize", {"prompt": 1}, "prompt"),
        ("/detokenize", {"tokens": [100_000]}, "tokens"),
        ("/detokenize", {"tokens": [-1]}, "tokens[0]"),
        ("/detokenize", {"tokens": "a"}, "tokens"),
    ],
)
async def test_tokens_that_cannot_be(tmp_path: Path, path: str, body: dict[str, object], param: str) -> None:
    async with pair(tmp_path) as fleet:
        answer = await ask(fleet.address, "POST", path, json.dumps(body).encode())
        assert (answer.status, answer.error["param"]) == (400, param)


async def test_every_route_is_there(tmp_path: Path) -> None:
    """And nothing that was not served is a server's error."""
    async with pair(tmp_path) as fleet:
        for route in ROUTES:
            path = re.sub(r"\{.*\}", "tiny", route.path)
            answer = await ask(fleet.address, route.method, path, b"{}" if route.method == "POST" else None)
            assert answer.status in (200, 400) or ("{" in route.path and answer.error["code"] == "not_found"), path
            other = "GET" if route.method == "POST" else "POST"
            refused = await ask(fleet.address, other, path, b"{}" if other == "POST" else None)
            assert (refused.status, refused.error["code"]) == (405, "method_not_allowed"), path


async def test_the_document_is_served(tmp_path: Path) -> None:
    async with pair(tmp_path) as fleet:
        document = (await ask(fleet.address, "GET", "/openapi.json")).json
        assert document["openapi"].startswith("3.1")
        assert "/v1/chat/completions" in document["paths"]


async def test_http_can_be_off(tmp_path: Path) -> None:
    config = RouterConfig(model="", http="")
    gateway = await Gateway.open(config, make_doors(config, print))
    assert gateway.address == ""
    async with asyncio.timeout(1):
        await gateway.stop()
