"""Several prompts of one request stand or fall together: admitted before any is computed, and one failure ends all."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from common.net.dial import Dial
from common.types.access import Access
from common.types.errors import Cancelled, Overloaded
from common.types.http import HttpLimits
from common.types.keys import Key, digest_of, fleet_key, line_of
from router.ask import Ask
from router.http.gathered import Gathered
from router.http.many import generate_all
from router.relay import Outlet
from router.serving import Accepted, Gate, Message, Serving, Write
from tests.router.fake_workers import A
from tests.router.http.messages import summary, written
from tests.router.http.pair import Pair, pair
from tests.router.http.wire import connected, post, stream
from tests.router.rig import rig
from tests.router.script import PATIENCE_S

PATH = "/v1/completions"


class FakeServing:
    """Answers each prompt with its own name; `errors` come instead of, or after, the first word."""

    def __init__(self) -> None:
        self.before: dict[str, Exception] = {}
        self.after: dict[str, Exception] = {}
        self.slow: dict[str, asyncio.Event] = {}
        self.admitted: list[str] = []
        self.computed: list[str] = []
        self.ended: list[str] = []

    async def generate(
        self, ask: Ask, remaining_s: float, write: Write, gate: Gate | None = None, outlet: Outlet | None = None
    ) -> None:
        name = str(ask.prompt)
        if name in self.slow:
            await self.slow[name].wait()
        if name in self.before:
            raise self.before[name]
        self.admitted.append(name)
        try:
            if gate is not None:
                await gate()
            accepted, *rest = written([name])
            await write((accepted,))
            self.computed.append(name)
            if name in self.after:
                raise self.after[name]
            await write(rest)
        finally:
            self.ended.append(name)

    async def run(self, *names: str) -> dict[int, list[Message]]:
        """What was taken, by place."""
        taken: dict[int, list[Message]] = {}

        async def take(place: int, messages: Sequence[Message]) -> None:
            taken.setdefault(place, []).extend(messages)

        serving: Any = self
        async with asyncio.timeout(PATIENCE_S):
            await generate_all(serving, [Ask(name) for name in names], 1.0, take, [Gathered([]) for _ in names])
        return taken


@pytest.mark.parametrize("names", ["a", "ab", "abcdef"])
async def test_each_gets_its_own_answer_first_word_first(names: str) -> None:
    taken = await FakeServing().run(*names)
    assert {place: [getattr(each, "text", None) for each in messages] for place, messages in taken.items()} == {
        place: [None, name, None] for place, name in enumerate(names)
    }
    assert all(isinstance(messages[0], Accepted) and messages[-1] == summary(1) for messages in taken.values())


async def test_none_is_computed_before_all_are_admitted() -> None:
    serving = FakeServing()
    serving.slow["c"] = asyncio.Event()
    running = asyncio.create_task(serving.run("a", "b", "c"))
    for _ in range(5):
        await asyncio.sleep(0)
    assert (serving.admitted, serving.computed) == (["a", "b"], [])
    serving.slow["c"].set()
    assert len(await running) == 3
    assert sorted(serving.computed) == ["a", "b", "c"]


@pytest.mark.parametrize("last", ["a", "b", "c"])
async def test_one_that_is_refused_lets_none_begin(last: str) -> None:
    serving = FakeServing()
    serving.before[last] = Overloaded("full", 50)
    with pytest.raises(Overloaded, match="full"):
        await serving.run("a", "b", "c")
    assert serving.computed == []
    assert sorted(serving.ended) == sorted(serving.admitted), "who was admitted left again"


async def test_one_that_fails_later_ends_all() -> None:
    serving = FakeServing()
    serving.after["b"] = Cancelled("gone")
    with pytest.raises(Cancelled, match="gone"):
        await serving.run("a", "b", "c")
    assert sorted(serving.ended) == ["a", "b", "c"]


async def test_of_several_that_fail_one_is_told() -> None:
    serving = FakeServing()
    serving.before |= {name: Overloaded(name, 50) for name in "abc"}
    with pytest.raises(Overloaded):
        await serving.run("a", "b", "c")


async def test_a_bug_stays_a_bug() -> None:
    serving = FakeServing()
    serving.after["b"] = ZeroDivisionError()
    with pytest.raises(ExceptionGroup) as caught:
        await serving.run("a", "b")
    assert caught.value.subgroup(ZeroDivisionError) is not None


def quiet(serving: Serving) -> bool:
    return serving.admission.num_requests == serving.admission.num_held_tokens == 0


async def settled(fleet: Pair) -> None:
    """Nothing is held for anybody."""
    async with asyncio.timeout(PATIENCE_S):
        await fleet.rig.router.serving.idle.wait()
    assert quiet(fleet.rig.router.serving)


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_list_with_one_bad_prompt_is_refused_as_a_whole(tmp_path: Path, streamed: bool) -> None:
    async with pair(tmp_path) as fleet:
        bad: list[tuple[list[Any], str]] = [
            (["hi", "x" * 600], "prompt"),
            ([[A], [A, 999_999]], "prompt"),
            ([[A, A], [A] * 511], "max_tokens"),
        ]
        for prompts, param in bad:
            answer = await post(fleet.address, PATH, prompt=prompts, max_tokens=2, stream=streamed)
            assert (answer.status, answer.error["param"]) == (400, param)
        assert not fleet.prefill.service.requests
        await settled(fleet)


async def test_a_list_that_finds_no_room_takes_none(tmp_path: Path) -> None:
    async with pair(tmp_path, max_requests=3) as fleet:
        refused = await post(fleet.address, PATH, prompt=["a", "b", "c", "d"], max_tokens=2)
        assert (refused.status, refused.error["code"]) == (429, "overloaded")
        assert not fleet.prefill.service.requests
        await settled(fleet)
        answer = await post(fleet.address, PATH, prompt=["a", "b", "c"], max_tokens=2)
        assert answer.json["usage"]["completion_tokens"] == 6


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        ([], "must not be empty"),
        ([[]], "prompt"),
        ("", "prompt"),
        ([""], "prompt"),
        (["a", 1], "prompt"),
        ([1, "a"], "prompt"),
        ([[1], "a"], "prompt"),
        ([[[1]]], "prompt"),
        ([1.5], "prompt"),
        ([True], "prompt"),
        ([-1], "prompt"),
        (None, "prompt"),
        ({"a": 1}, "prompt"),
        ([None], "prompt"),
        (["a"] * 5, "has 5 prompts, at most 4 are allowed"),
    ],
)
async def test_what_is_no_list_of_prompts(tmp_path: Path, prompt: Any, says: str) -> None:
    async with pair(tmp_path, HttpLimits(max_prompts=4)) as fleet:
        answer = await post(fleet.address, PATH, prompt=prompt, max_tokens=1)
        assert answer.status == 400
        assert says in answer.error["message"]


async def test_choices_are_in_the_order_of_prompts_however_they_end(tmp_path: Path) -> None:
    """Stop strings end some choices at once and others later; each keeps its number."""
    async with pair(tmp_path) as fleet:
        asked: dict[str, Any] = {"prompt": ["x", "y", "z"], "n": 3, "max_tokens": 8, "seed": 0, "stop": ["fg", "b"]}
        whole = await post(fleet.address, PATH, **asked)
        expected = [("a", "stop"), ("de", "stop"), ("ghijklmn", "length")] * 3
        choices = whole.json["choices"]
        assert [(each["text"], each["finish_reason"]) for each in choices] == expected
        assert [each["index"] for each in choices] == list(range(9))
        _, events = await stream(fleet.address, PATH, **asked)
        texts, ends = [""] * 9, [""] * 9
        for event in events[:-1]:
            for choice in event["choices"]:
                texts[choice["index"]] += choice["text"]
                ends[choice["index"]] += choice["finish_reason"] or ""
        assert list(zip(texts, ends, strict=True)) == expected
        await settled(fleet)


@pytest.mark.parametrize(("worker", "step"), [("p0", "run"), ("p0", "first"), ("d0", "attach"), ("d0", "token 2")])
@pytest.mark.parametrize("streamed", [False, True])
async def test_who_leaves_ends_every_prompt(tmp_path: Path, worker: str, step: str, streamed: bool) -> None:
    async with pair(tmp_path) as fleet:
        script = fleet.rig.workers[worker].script
        script.hold(step)
        async with connected(fleet.address) as wire:
            await wire.post(PATH, prompt=["a", "b", "c"], n=2, max_tokens=6, stream=streamed)
            await script.saw(step)
        await settled(fleet)
        ended = fleet.rig.router.serving.tally.ended
        assert (ended["cancelled"], ended["answered"], ended["failed"]) == (3, 0, 0)
        script.release(step)


async def test_a_list_that_is_not_begun_costs_its_key_nothing(tmp_path: Path) -> None:
    """Its first prompts were admitted; the last one was not, and none was computed."""
    key = Key("alice", digest_of("alice's"), tokens_per_min=100)
    (tmp_path / "keys").write_text(line_of(key) + "\n")
    async with rig(tmp_path, max_requests=3, access=Access(keys=str(tmp_path / "keys"))) as fleet:
        dial = Dial(fleet_key("k"))
        await fleet.prefill(dial=dial)
        await fleet.decode(dial=dial)
        body = {"prompt": ["x" * 10] * 4, "max_tokens": 2}

        async def ask(**fields: Any) -> int:
            async with connected(fleet.router.http_address) as wire:
                sent = json.dumps(body | fields).encode()
                await wire.send("POST", PATH, sent, authorization="Bearer alice's")
                return (await wire.answer()).status

        for _ in range(4):
            assert await ask() == 429, "the fleet takes three at once"
        assert await ask(prompt="x" * 90) == 200, "all of its share is left"
        assert await ask(prompt="x" * 90) == 429, "it is used up"
