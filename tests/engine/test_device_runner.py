"""The device's runner against the plain one: the same tokens, whether a step was launched ahead or not."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from common.cache.storage import KVStorage
from common.engine.device_runner import DeviceRunner
from common.engine.graphs import Graphs
from common.engine.masks import Masks
from common.engine.plan import SampleRow, StepPlan, Work
from common.engine.runner import Runner
from common.engine.static_batch import StaticBatch
from common.models.decoder import Decoder
from common.text.compiler import Compiler
from common.types.ids import AttemptId
from common.types.sampling import Sampling
from tests.cache.fake_driver import FakeDriver, FakeMachine
from tests.engine.fake_stage import FakeStage
from tests.engine.test_device_sampler import close
from tests.tiny import tiny_model

NUM_BLOCKS, BLOCK_TOKENS, MAX_ROWS, MAX_TOKENS = 40, 4, 6, 60
GREEDY = Sampling(temperature=0.0)


class Bench:
    """One model, run by both runners over pools of their own."""

    def __init__(self, compiler: Compiler | None = None) -> None:
        self.stage = FakeStage()
        decoder = Decoder.load(tiny_model("llama"), "float32")
        masks = [None if compiler is None else Masks(compiler) for _ in range(2)]
        layout = decoder.layout(BLOCK_TOKENS, "m")
        self.plain = Runner(decoder, KVStorage(layout, NUM_BLOCKS), masks[0])
        pool = KVStorage(layout, NUM_BLOCKS, driver=FakeDriver(FakeMachine()), num_scratch=1)
        inputs = StaticBatch(self.stage, MAX_ROWS, MAX_TOKENS, BLOCK_TOKENS, NUM_BLOCKS)
        with torch.inference_mode():
            graphs = Graphs(self.stage, inputs, lambda batch: decoder.forward(batch, pool.tensor), (1, 2, MAX_ROWS))
        self.runner = DeviceRunner(decoder, pool, self.stage, inputs, graphs, masks[1])

    def step(self, plan: StepPlan) -> list[int]:
        """Both run it; they agree."""
        expected, found = self.plain.run(plan), self.runner.run(plan)
        close(found.sampled, expected.sampled)
        assert found.scores == expected.scores
        return [sampled.token_id for sampled in found.sampled if sampled is not None]


class Talk:
    """A sequence that goes on with what was drawn; its table reaches one token further than it must."""

    def __init__(self, key: int, prompt: Sequence[int], sampling: Sampling = GREEDY, slot: int | None = None) -> None:
        self.key, self.tokens, self.sampling = key, list(prompt), sampling
        self.num_prompt = len(prompt)
        self.slot = key if slot is None else slot
        self.blocks = [self.slot * 10 + place for place in range(10)]

    @property
    def table(self) -> list[int]:
        return self.blocks[: len(self.tokens) // BLOCK_TOKENS + 1]

    def work(self, start: int) -> Work:
        return Work(self.key, tuple(self.tokens[start:]), start, self.table)

    def row(self, work: int) -> SampleRow:
        index = len(self.tokens) - self.num_prompt
        id = AttemptId(f"r-{self.key}", 1)
        return SampleRow(work, id, 0, index, self.sampling, self.tokens, self.num_prompt)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def prompts(bench: Bench, *talks: Talk) -> None:
    for talk in talks:
        go_on(bench, StepPlan((talk.work(0),), (talk.row(0),), 0), [talk])


def decode(bench: Bench, talks: Sequence[Talk]) -> None:
    works = tuple(talk.work(len(talk.tokens) - 1) for talk in talks)
    rows = tuple(talk.row(place) for place, talk in enumerate(talks))
    go_on(bench, StepPlan(works, rows, len(works)), talks)


def go_on(bench: Bench, plan: StepPlan, talks: Sequence[Talk]) -> None:
    for talk, token in zip(talks, bench.step(plan), strict=True):
        talk.tokens.append(token)


def test_a_running_batch_is_always_one_step_ahead(bench: Bench) -> None:
    talks = [Talk(0, [5, 6, 7]), Talk(1, [9] * 6), Talk(2, [30, 2])]
    prompts(bench, *talks)
    for _ in range(12):
        decode(bench, talks)
    counts = bench.runner.counts
    assert (counts.num_steps, counts.num_ahead, counts.num_wasted) == (15, 11, 0)


def test_each_step_waits_for_the_device_once(bench: Bench) -> None:
    talks = [Talk(0, [5, 6, 7]), Talk(1, [9] * 6)]
    prompts(bench, *talks)
    before = bench.stage.num_waits
    for _ in range(5):
        decode(bench, talks)
    assert bench.stage.num_waits - before == 5


def test_who_ends_is_left_out_and_who_stays_keeps_what_was_computed(bench: Bench) -> None:
    talks = [Talk(key, [5 + key, 6, 7]) for key in range(4)]
    prompts(bench, *talks)
    while talks:
        decode(bench, talks)
        decode(bench, talks)
        talks.pop(len(talks) // 2)
    assert bench.runner.counts.num_wasted == 0
    assert bench.runner.counts.num_ahead == 7


def test_who_joins_is_computed_beside_what_was_launched_ahead(bench: Bench) -> None:
    talks, late, later = [Talk(0, [5, 6, 7])], Talk(1, [8, 9]), Talk(2, [3, 4, 5, 6])
    prompts(bench, *talks, late, later)
    decode(bench, talks)
    decode(bench, [*talks, late])
    decode(bench, [late, later, *talks])
    for _ in range(3):
        decode(bench, [late, *talks, later])
    counts = bench.runner.counts
    assert (counts.num_ahead, counts.num_wasted) == (5, 0)


def test_prompts_are_computed_beside_what_was_launched_ahead(bench: Bench) -> None:
    talks = [Talk(0, [5, 6, 7]), Talk(1, [8, 9])]
    late = Talk(2, [30, 31, 32, 33, 34])
    prompts(bench, *talks)
    decode(bench, talks)
    works = [talk.work(len(talk.tokens) - 1) for talk in talks]
    half = late.work(0)._replace(token_ids=(30, 31))
    go_on(bench, StepPlan((*works, half), tuple(talk.row(place) for place, talk in enumerate(talks)), 2), talks)
    works = [talk.work(len(talk.tokens) - 1) for talk in talks]
    rest = late.work(2)._replace(score_ids=(33, 34))
    everybody = [*talks, late]
    rows = tuple(talk.row(place) for place, talk in enumerate(everybody))
    go_on(bench, StepPlan((*works, rest), rows, 2), everybody)
    decode(bench, everybody)
    decode(bench, everybody)
    counts = bench.runner.counts
    assert (counts.num_ahead, counts.num_wasted) == (4, 0)


def test_a_guess_that_nobody_wants_is_wasted(bench: Bench) -> None:
    talks = [Talk(0, [5, 6, 7])]
    prompts(bench, *talks)
    decode(bench, talks)
    prompts(bench, Talk(1, [8, 9]))
    assert bench.runner.counts.num_wasted == 1


def test_a_new_table_is_a_new_sequence(bench: Bench) -> None:
    talk = Talk(0, [5, 6, 7])
    prompts(bench, talk)
    decode(bench, [talk])
    talk.blocks = [30 + place for place in range(10)]
    talk.key = 3
    copies = tuple((place, 30 + place) for place in range(len(talk.table)))
    work = talk.work(len(talk.tokens) - 1)
    go_on(bench, StepPlan((work,), (talk.row(0),), 1, copies=copies), [talk])
    assert bench.runner.counts.num_wasted == 1
    decode(bench, [talk])
    assert bench.runner.counts.num_ahead == 1


def test_draws_are_made_on_the_device_and_are_the_hosts(bench: Bench) -> None:
    samplings = [
        Sampling(seed=3, temperature=0.8, top_k=20, top_p=0.9),
        Sampling(seed=-5, temperature=1.3, min_p=0.02),
        Sampling(seed=7),
        GREEDY,
    ]
    talks = [Talk(key, [5, 6, 7 + key], sampling) for key, sampling in enumerate(samplings)]
    prompts(bench, *talks)
    for _ in range(8):
        decode(bench, talks)
    assert bench.runner.counts.num_ahead == 7


def test_prompts_and_their_scores(bench: Bench) -> None:
    talk = Talk(0, [5, 6, 7, 8, 9, 4])
    work = talk.work(0)._replace(score_ids=(6, 7, 8, 9, 4), num_alternatives=2)
    go_on(bench, StepPlan((work,), (talk.row(0),), 0), [talk])
    decode(bench, [talk])


def test_several_answers_from_one_prompt(bench: Bench) -> None:
    talk = Talk(0, [5, 6, 7, 8, 9, 4])
    rows = tuple(talk.row(0)._replace(choice=choice) for choice in range(3))
    assert len(set(bench.step(StepPlan((talk.work(0),), rows, 0)))) == 1


def test_logits_that_are_not_numbers_fail_their_row_alone(bench: Bench) -> None:
    talks = [Talk(0, [5, 6, 7]), Talk(1, [9, 8])]
    prompts(bench, *talks)
    decode(bench, talks)
    for runner in (bench.plain, bench.runner):
        runner._storage.tensor[10:20] = torch.nan
    if (ahead := bench.runner._ahead) is not None:
        ahead.wait()
    bench.runner._ahead = None
    works = tuple(talk.work(len(talk.tokens) - 1) for talk in talks)
    result = bench.runner.run(StepPlan(works, tuple(talk.row(place) for place, talk in enumerate(talks)), 2))
    assert [sampled is None for sampled in result.sampled] == [False, True]
    result = bench.runner.run(StepPlan(works[:1], (talks[0].row(0),), 1))
    assert result.sampled[0] is not None


def test_settling_waits_for_what_is_in_flight_and_keeps_it(bench: Bench) -> None:
    talk = Talk(0, [5, 6, 7])
    prompts(bench, talk)
    bench.runner.settle()
    decode(bench, [talk])
    before = bench.stage.num_waits
    bench.runner.settle()
    bench.runner.settle()
    assert bench.stage.num_waits == before + 1
    decode(bench, [talk])
    assert bench.runner.counts.num_ahead == 1


def test_blocks_beyond_what_a_plan_needs_are_not_written(bench: Bench) -> None:
    """But for the one slot that the next token of a sequence would take."""
    talk = Talk(0, [5, 6, 7])
    prompts(bench, talk)
    pool = bench.runner._storage.tensor
    before = pool.clone()
    decode(bench, [talk])
    bench.runner.settle()
    changed = {int(block) for block in np.unique((pool != before).flatten(1).any(dim=1).nonzero().numpy())}
    assert changed <= {0, 1, NUM_BLOCKS}
