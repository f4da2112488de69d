"""Constraints through a whole fleet: every answer is what was asked for, however it came about."""

import asyncio
from contextlib import aclosing

import pytest

from baton.client import Answer, Client, Delta
from common.engine.guide import Guide
from common.engine.plan import SampleRow
from common.text.compiler import Compiler
from common.types.config import RouterConfig, WorkerConfig
from common.types.constraint import Constraint
from common.types.errors import InvalidRequest
from common.types.sampling import FinishReason
from loadtest.structured.expressions import random_expression
from loadtest.structured.judge import complaint
from loadtest.structured.schemas import random_schema
from tests.system.cluster import Cluster, cluster
from tests.tiny import tiny_model

ITEM = {
    "type": "object",
    "properties": {"lane": {"enum": [1, 2, 3]}, "legal": {"type": "boolean"}},
    "required": ["lane"],
}
ASKED = [
    Constraint.regex("[a-c]{6}-[0-9]{3}(!|[?])"),
    Constraint.choice(["red", "green, blue", "größe"]),
    Constraint.json_schema({**ITEM, "additionalProperties": False}),
    Constraint.grammar('start: "(" start ")" | "x"'),
]
LONG = Constraint.regex("[a-z0-9 ]{300}")
MAX_TOKENS = 400


def text_of(answer: Answer, constraint: Constraint) -> str:
    """The answer's text, which must be whole and right."""
    assert answer.finish is FinishReason.STOP
    if constraint.source.startswith("start:"):
        assert answer.text.strip("()") == "x"
        assert answer.text.count("(") == answer.text.count(")")
    else:
        assert complaint(constraint, answer.text) == ""
    return answer.text


async def ask(client: Client, constraint: Constraint, **asking: object) -> list[str]:
    wanted = {"max_tokens": MAX_TOKENS, "seed": 5, "constraint": constraint, **asking}
    completion = await client.complete("a relay race", **wanted)  # type: ignore[arg-type]
    return [text_of(answer, constraint) for answer in completion.answers]


async def everything(fleet: Cluster) -> list[list[str]]:
    """Each way of asking, all at once: the batch is never the same twice."""
    ways: list[dict[str, object]] = [
        {},
        {"n": 3},
        {"ignore_eos": True, "min_tokens": 40},
        {"temperature": 3.0, "top_p": 0.9, "logit_bias": {7: 50.0, 300: -50.0}, "repetition_penalty": 1.5},
    ]
    return await asyncio.gather(*(ask(fleet.client, constraint, **way) for constraint in ASKED for way in ways))


@pytest.mark.parametrize("name", ["llama", "qwen3"])
async def test_handed_over_computed_in_one_place_and_alone_are_the_same(name: str) -> None:
    answers = []
    for mode in ("handoff", "local"):
        async with cluster(tiny_model(name), router=RouterConfig(model="", mode=mode)) as fleet:
            answers.append(await everything(fleet))
            alone = [await ask(fleet.client, constraint) for constraint in ASKED]
            assert alone == answers[-1][::4]
    assert answers[0] == answers[1]


async def test_a_lost_decode_worker_changes_nothing() -> None:
    async with cluster(tiny_model("llama"), decode=2, router=RouterConfig(model="", mode="handoff")) as fleet:
        expected = await ask(fleet.client, LONG, n=2)
        texts, done, lost = ["", ""], None, False
        events = fleet.client.generate("a relay race", max_tokens=MAX_TOKENS, seed=5, constraint=LONG, n=2)
        async with aclosing(events):
            async for event in events:
                if isinstance(event, Delta):
                    texts[event.choice] += event.text
                elif hasattr(event, "num_attempts"):
                    done = event
                if not lost and min(map(len, texts)) > 40:
                    lost = True
                    busy = next(worker for worker in fleet.decode if not worker.side.idle.is_set())
                    await busy.stop()
                    fleet.decode.remove(busy)
        assert lost
        assert done is not None
        assert done.num_attempts == 2
        assert texts == expected


async def test_giving_way_to_others_and_coming_back_changes_nothing() -> None:
    """Four answers share a pool that is too small for them: whoever gives way is computed, and replayed, again."""
    small = WorkerConfig(model="", num_blocks=20, token_budget=128)
    async with cluster(tiny_model("llama"), worker=small) as fleet:
        alone = [await ask(fleet.client, LONG, seed=seed, max_tokens=300) for seed in range(4)]
        together = await asyncio.gather(*(ask(fleet.client, LONG, seed=seed, max_tokens=300) for seed in range(4)))
        assert sum(worker.engine.loop.load().num_preempted for worker in fleet.decode) > 0
    assert list(together) == alone


async def test_random_schemas_and_expressions_are_answered_right_or_refused() -> None:
    constraints = [Constraint.json_schema(random_schema(seed)) for seed in range(100, 112)]
    constraints += [Constraint.regex(random_expression(seed)) for seed in range(100, 112)]
    async with cluster(tiny_model("llama")) as fleet:

        async def judge(constraint: Constraint) -> str:
            try:
                completion = await fleet.client.complete("hi", max_tokens=200, seed=1, constraint=constraint)
            except InvalidRequest as error:
                return f"refused {[violation.field for violation in error.violations]}"
            (answer,) = completion.answers
            if answer.finish is FinishReason.STOP:
                assert complaint(constraint, answer.text) == ""
            return "answered" if answer.finish is FinishReason.STOP else "cut"

        outcomes = await asyncio.gather(*map(judge, constraints))
    assert outcomes.count("answered") >= 12
    assert outcomes.count("refused ['constraint']") == 24 - outcomes.count("answered") - outcomes.count("cut") >= 1


@pytest.mark.parametrize("mode", ["handoff", "local"])
@pytest.mark.parametrize("after", [0, 20])
async def test_a_constraint_that_outgrows_its_limits_ends_its_own_request(
    monkeypatch: pytest.MonkeyPatch, mode: str, after: int
) -> None:
    """On its first token, which is prefill's in a hand-off, or later on."""
    follow, doomed = Guide.follow, Constraint.regex("[0-9]{60}")

    def until_then(self: Guide, row: SampleRow, compiler: Compiler) -> bool:
        return (self.constraint != doomed or row.index < after) and follow(self, row, compiler)

    monkeypatch.setattr(Guide, "follow", until_then)
    async with cluster(tiny_model("llama"), router=RouterConfig(model="", mode=mode)) as fleet:
        beside = asyncio.ensure_future(ask(fleet.client, LONG))
        with pytest.raises(InvalidRequest, match="constraint: cannot be enforced to the end of this answer"):
            await ask(fleet.client, doomed)
        assert len((await beside)[0]) == 300
        assert await ask(fleet.client, Constraint.regex("[0-9]{60}a"))


async def test_a_stop_string_and_a_token_limit_may_cut_an_answer_short() -> None:
    async with cluster(tiny_model("llama")) as fleet:
        (stopped,) = (await fleet.client.complete("x", constraint=Constraint.regex("a{5}b{5}"), stop=["ab"])).answers
        assert (stopped.text, stopped.finish) == ("aaaa", FinishReason.STOP)
        (cut,) = (await fleet.client.complete("x", constraint=LONG, max_tokens=7)).answers
        assert (len(cut.token_ids), cut.finish) == (7, FinishReason.LENGTH)
        (first,) = (await fleet.client.complete("x", constraint=LONG, max_tokens=1)).answers
        assert (len(first.token_ids), first.finish) == (1, FinishReason.LENGTH)
