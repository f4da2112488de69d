"""Rows that ask for more than the best token, on the device's runner: as the plain one, and a step ahead like any."""

from dataclasses import replace
from random import Random

import pytest

from common.engine.plan import StepPlan
from common.text.compiler import Compiler, Vocabulary
from common.text.tokenizer import Tokenizer
from common.types.constraint import Constraint
from common.types.sampling import Sampling
from tests.engine.test_device_runner import GREEDY, Bench, Talk, decode, go_on, prompts
from tests.tiny import tiny_model


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture(scope="module")
def compiler() -> Compiler:
    return Compiler(Vocabulary(Tokenizer.load(tiny_model("llama")), 509, (1,)))


ASKS_MORE = [
    replace(GREEDY, min_tokens=4, stop_token_ids=tuple(range(100))),
    replace(GREEDY, repetition_penalty=1.3),
    replace(GREEDY, logit_bias=((5, 3.0),)),
    replace(GREEDY, logprobs=2),
    Sampling(seed=4, presence_penalty=1.5, frequency_penalty=0.7, logprobs=0),
    Sampling(seed=5, top_p=0.9, repetition_penalty=1.2, logit_bias=((9, 2.0),), min_tokens=3, stop_token_ids=(8, 9)),
]


@pytest.mark.parametrize("sampling", ASKS_MORE, ids=str)
def test_rows_that_ask_for_more_are_a_step_ahead_all_the_same(bench: Bench, sampling: Sampling) -> None:
    talks = [Talk(0, [5, 6, 7]), Talk(1, [9, 8], sampling)]
    prompts(bench, *talks)
    for _ in range(8):
        decode(bench, talks)
    for _ in range(3):
        decode(bench, talks[:1])
    assert (bench.runner.counts.num_ahead, bench.runner.counts.num_wasted) == (10, 0)


def test_penalties_count_a_token_that_only_the_device_knows(bench: Bench) -> None:
    """Each token banishes itself: a guess that did not know the last one would say it again."""
    talk = Talk(0, [5, 6, 7], replace(GREEDY, frequency_penalty=90.0))
    prompts(bench, talk)
    for _ in range(25):
        decode(bench, [talk])
    assert len(set(talk.tokens[3:])) == 26
    assert bench.runner.counts.num_ahead == 24


def test_a_constrained_row_keeps_its_step_from_being_guessed(compiler: Compiler) -> None:
    bench = Bench(compiler)
    bound = Sampling(seed=3, constraint=Constraint.regex("[a-f ]{30}"), repetition_penalty=1.1, logprobs=1)
    talks = [Talk(0, [5, 6, 7], ASKS_MORE[1]), Talk(1, [9, 8], bound), Talk(2, [4, 4], ASKS_MORE[5])]
    prompts(bench, *talks)
    before = bench.stage.num_waits
    for _ in range(5):
        decode(bench, talks)
    assert (bench.runner.counts.num_ahead, bench.runner.counts.num_wasted) == (0, 0)
    assert bench.stage.num_waits - before == 10, "tokens and log probabilities"
    talks.pop(1)
    for _ in range(4):
        decode(bench, talks)
    assert bench.runner.counts.num_ahead == 3


@pytest.mark.parametrize("seed", range(6))
def test_any_mixture_says_what_the_plain_runner_says(compiler: Compiler, seed: int) -> None:
    """Sequences of every kind come and go; chunks of prompts run beside them."""
    bench, random = Bench(compiler), Random(seed)
    kinds = [*ASKS_MORE, GREEDY, Sampling(seed=9), Sampling(seed=2, constraint=Constraint.regex("[a-f ]{60}"))]
    running: list[Talk] = []
    free = list(range(4))
    for step in range(30):
        joining = None
        if free and random.random() < 0.4:
            prompt = [random.randrange(5, 500) for _ in range(random.randint(2, 7))]
            joining = Talk(step, prompt, random.choice(kinds), free.pop())
        talks = [*running, joining] if joining else running
        if not talks:
            continue
        works = tuple(talk.work(len(talk.tokens) - 1) for talk in running)
        rows = tuple(talk.row(place) for place, talk in enumerate(talks))
        chunk = (joining.work(0),) if joining else ()
        go_on(bench, StepPlan((*works, *chunk), rows, len(works)), talks)
        running = talks
        for talk in list(running):
            if random.random() < 0.1 or len(talk.tokens) > 30:
                running = [other for other in running if other is not talk]
                free.append(talk.slot)
    assert bench.runner.counts.num_steps > 20
