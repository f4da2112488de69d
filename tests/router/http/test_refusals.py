"""What cannot be honoured is refused by name, in OpenAI's shape, with nothing of the inside showing."""

import re
from pathlib import Path
from typing import Any

import pytest
from openai import APIStatusError, BadRequestError, NotFoundError, RateLimitError

from common.types.errors import Overloaded
from tests.router.http.pair import pair
from tests.router.http.wire import Answer, post

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
HELLO = [{"role": "user", "content": "hello"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
BOTH: list[tuple[str, Any, str]] = [
    ("temprature", 1, "did you mean 'temperature'"),
    ("temperature", -1, "between 0 and 100"),
    ("temperature", "1", "must be a number"),
    ("temperature", True, "must be a number"),
    ("top_p", 0, "between"),
    ("top_k", -2, "at least -1"),
    ("min_p", 2, "between 0 and 1"),
    ("repetition_penalty", 0, "between"),
    ("presence_penalty", 101, "between"),
    ("frequency_penalty", -101, "between"),
    ("n", 0, "at least 1"),
    ("n", 9, "between 1 and 8"),
    ("n", 1.0, "whole number"),
    ("seed", 1 << 64, "less than"),
    ("stop", ["a"] * 17, "at most 16"),
    ("stop", [""], "empty"),
    ("stop[0]", [1], "must be a text"),
    ("stop_token_ids", [100000], "vocabulary"),
    ("stop_token_ids", [1] * 200, "at most 128"),
    ("logit_bias", {"x": 1}, "token ids"),
    ("logit_bias", {"100000": 1}, "vocabulary"),
    ("logit_bias", {"1": 1e9}, "between"),
    ("min_tokens", 600, "between"),
    ("stream_options", {"include_usage": True}, "needs stream"),
    ("use_beam_search", True, "is not supported"),
    ("guided_json", {"type": 3}, ""),
    ("guided_regex", "(", ""),
    ("guided_grammar", "start: nothing", ""),
    ("guided_choice", [], "at least 1"),
    ("structured_outputs", {}, "must say"),
    ("structured_outputs.yaml", {"yaml": 1}, "not known"),
    ("user", "x" * 300, "at most 256"),
]
CHAT_ONLY: list[tuple[str, Any, str]] = [
    ("messages", [], "at least 1"),
    ("messages[0].content", [{"role": "user"}], "must be set"),
    ("messages[0].content[0].image_url", [{"role": "user", "content": [{"image_url": {"url": "x"}}]}], "text only"),
    ("messages[0].role", [{"role": "robot", "content": "x"}], "must be 'system'"),
    ("messages[0].tool_call_id", [{"role": "tool", "content": "x"}], "must be set for role tool"),
    ("messages[0].function_call", [{"role": "assistant", "content": "x", "function_call": {}}], "use tool_calls"),
    ("max_tokens", 0, "at least 1"),
    ("max_completion_tokens", 100000, "at most"),
    ("top_logprobs", 3, "needs logprobs"),
    ("logprobs", 3, "true or false"),
    ("audio", {}, "text only"),
    ("functions", [], "use tools"),
    ("function_call", "auto", "use tool_choice"),
    ("metadata", {}, "nothing is stored"),
    ("moderation", {}, "nothing is moderated"),
    ("prediction", {}, "not predicted"),
    ("prompt_cache_key", "x", "is not supported"),
    ("verbosity", "low", "is not supported"),
    ("web_search_options", {}, "nothing is fetched"),
    ("modalities[0]", ["audio"], "must be 'text'"),
    ("store", True, "must be false"),
    ("service_tier", "flex", "must be 'auto' or 'default'"),
    ("reasoning_effort", "low", "template"),
    ("chat_template_kwargs.enable_thinking", {"enable_thinking": True}, "template"),
    ("chat_template_kwargs.messages", {"messages": "x"}, "template"),
    ("response_format.type", {"type": "xml"}, "must be 'text'"),
    ("response_format.json_schema", {"type": "json_schema"}, "must be set"),
    ("tools", [TOOL], "teaches no tool calls"),
    ("tools[0].type", [{**TOOL, "type": "custom"}], "must be 'function'"),
    ("tool_choice", "auto", "needs tools"),
    ("echo", True, "only /v1/completions"),
]
COMPLETION_ONLY: list[tuple[str, Any, str]] = [
    ("suffix", "x", "not filled in"),
    ("best_of", 2, "must equal n"),
    ("logprobs", 21, "between 0 and 20"),
    ("max_tokens", 0, "or 0 with echo"),
    ("max_tokens", 100000, "at most"),
    ("prompt", [], "empty"),
    ("prompt", None, "must be a text"),
    ("prompt", [100000], "vocabulary"),
    ("prompt[1]", [1, "x"], "whole number"),
    ("prompt", ["x"] * 65, "at most 64"),
    ("prompt", "x" * 600, "at most"),
    ("messages", HELLO, "is not known"),
]
SECRET = re.compile(r"Traceback|Error\b|\bFile \"|/work|/tmp|127\.0\.0\.1|0x[0-9a-f]{6}|pydantic|starlette")


def name_of(param: str) -> str:
    return re.split(r"[.\[]", param)[0]


def check(answer: Answer, param: str, words: str) -> None:
    assert answer.status == 400, answer.body
    error = answer.error
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param, error
    assert words in error["message"], error
    assert not SECRET.search(answer.body.decode())


async def test_a_chat_names_what_it_refuses(tmp_path: Path) -> None:
    async with pair(tmp_path) as fleet:
        for param, value, words in BOTH + CHAT_ONLY:
            name = re.split(r"[.\[]", param)[0]
            fields = {"messages": HELLO, name: value}
            answer = await post(fleet.address, CHAT, **fields)
            check(answer, answer.error["param"] if name.startswith(("guided", "structured")) else param, words)
            assert answer.error["param"].startswith(name)


async def test_a_completion_names_what_it_refuses(tmp_path: Path) -> None:
    async with pair(tmp_path) as fleet:
        for param, value, words in BOTH + COMPLETION_ONLY:
            check(await post(fleet.address, COMPLETIONS, **{"prompt": "hi", name_of(param): value}), param, words)


async def test_a_refusal_is_the_same_for_a_stream(tmp_path: Path) -> None:
    async with pair(tmp_path) as fleet:
        answer = await post(fleet.address, CHAT, messages=HELLO, stream=True, max_completion_tokens=100_000)
        check(answer, "max_completion_tokens", "at most")


async def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    async with pair(tmp_path) as fleet:
        answer = await post(fleet.address, COMPLETIONS, prompt="hi", temperature="1", nn=3, suffix="x")
        for name in ("temperature", "nn", "suffix"):
            assert f"{name}: " in answer.error["message"]
        answer = await post(fleet.address, COMPLETIONS, prompt="hi", temperature=-1, top_p=3)
        for name in ("temperature", "top_p"):
            assert f"{name}: " in answer.error["message"]


async def test_two_constraints_are_one_too_many(tmp_path: Path) -> None:
    async with pair(tmp_path) as fleet:
        answer = await post(
            fleet.address, COMPLETIONS, prompt="hi", guided_regex="a", structured_outputs={"regex": "b"}
        )
        check(answer, "structured_outputs.regex", "cannot be combined with guided_regex")


@pytest.mark.parametrize("field", [{"model": "other"}, {"temperature": -1}])
async def test_the_official_client_raises_its_own_types(tmp_path: Path, field: dict[str, Any]) -> None:
    kinds: dict[str, type[APIStatusError]] = {"model": NotFoundError, "temperature": BadRequestError}
    asked: dict[str, Any] = {"model": "tiny", "prompt": "hi", **field}
    async with pair(tmp_path) as fleet, fleet.client() as client:
        with pytest.raises(kinds[next(iter(field))]) as caught:
            await client.completions.create(**asked)
        assert caught.value.param == next(iter(field))


async def test_over_capacity_is_429_with_a_time_to_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with pair(tmp_path) as fleet, fleet.client() as client:

        def full(*_: object) -> None:
            raise Overloaded("too many prompt tokens wait", 2500)

        monkeypatch.setattr(fleet.rig.router.serving.admission, "admit", full)
        with pytest.raises(RateLimitError, match="over capacity: too many prompt tokens wait") as caught:
            await client.completions.create(model="tiny", prompt="hi")
        assert caught.value.response.headers["retry-after"] == "3"
        assert caught.value.response.headers["retry-after-ms"] == "2500"


async def test_a_bug_shows_its_id_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with pair(tmp_path) as fleet:

        def broken(*_: object, **__: object) -> None:
            raise RuntimeError("secret at /etc/shadow")

        monkeypatch.setattr(fleet.rig.router.serving, "_validate", broken)
        for streamed in (True, False):
            answer = await post(fleet.address, COMPLETIONS, prompt="hi", stream=streamed)
            assert (answer.status, answer.error["type"]) == (500, "server_error")
            assert len(answer.error["error_id"]) == 12
            assert "secret" not in answer.body.decode()
