"""Plans made of sequences, and results read back; limits and pace beside them."""

import pytest

from common.engine.compose import drawn_tokens, finish_reason, make_plan, new_scores
from common.engine.limits import Limits
from common.engine.load import engine_load
from common.engine.pace import Pace
from common.engine.plan import Sampled, StepResult
from common.engine.sequence import Sequence
from common.engine.tables import BlockTables
from common.types.attempt import Attempt
from common.types.errors import StartupError
from common.types.sampling import FinishReason, SampledToken, Sampling, TokenLogprobs
from tests.engine.attempts import attempt, limits

SCORED = Sampling(max_tokens=9, prompt_logprobs=2)


def sequence(of: Attempt, num_computed: int = 0, choice: int | None = None) -> Sequence:
    return Sequence(of, choice, list(of.token_ids), b"", 1, 7, [3, 4], num_computed)


def test_single_tokens_come_first_and_only_ends_are_sampled() -> None:
    chunk = sequence(attempt("a", range(6)))
    last = sequence(attempt("b", range(10, 16), n=2), num_computed=3)
    decoding = sequence(attempt("c", range(20, 26)), num_computed=5, choice=4)
    plan, order = make_plan({chunk: 2, last: 3, decoding: 1})
    assert order == [decoding, chunk, last]
    assert [(work.start, work.token_ids) for work in plan.works] == [(5, (25,)), (0, (0, 1)), (3, (13, 14, 15))]
    assert (plan.num_decode, plan.num_tokens) == (1, 6)
    assert [(row.work, row.choice, row.index) for row in plan.rows] == [(0, 4, 0), (2, 0, 0), (2, 1, 0)]
    assert plan.rows[0].tokens is decoding.tokens
    assert plan.works[2].kv_len == 6


def test_results_go_back_to_their_works() -> None:
    plan, _ = make_plan({sequence(attempt("a", range(6), n=2)): 6, sequence(attempt("b", range(8))): 2})
    drawn = drawn_tokens(plan, StepResult((Sampled(5), Sampled(6)), 0.1), 100)
    assert drawn == [[SampledToken(0, 0, 5), SampledToken(1, 0, 6)], []]
    with pytest.raises(ValueError, match="shorter"):
        drawn_tokens(plan, StepResult((Sampled(5),), 0.1), 100)


@pytest.mark.parametrize("sampled", [(None, Sampled(1)), (Sampled(1), None)])
def test_one_row_without_a_token_fails_its_work(sampled: tuple[Sampled | None, ...]) -> None:
    plan, _ = make_plan({sequence(attempt("a", range(6), n=2)): 6})
    assert drawn_tokens(plan, StepResult(sampled, 0.1), 100) == [None]


def test_scores_are_asked_for_the_prompt_only() -> None:
    common = sequence(attempt("a", range(10, 18), num_prompt_tokens=6, sampling=SCORED))
    first, _ = make_plan({common: 4})
    assert (first.works[0].score_ids, first.works[0].num_alternatives) == ((11, 12, 13, 14), 2)
    assert common.num_skippable == 0
    common.num_computed, common.num_scored = 4, 4
    second, _ = make_plan({common: 4})
    assert second.works[0].score_ids == (15,)
    common.num_scored = 5
    assert not common.needs_scores
    assert common.num_skippable == 7
    assert make_plan({common: 4})[0].works[0].score_ids == ()
    assert not sequence(attempt("a", range(8), sampling=SCORED), choice=0).needs_scores


def test_scores_computed_again_are_not_reported_again() -> None:
    common = sequence(attempt("a", range(6), sampling=SCORED))
    common.num_scored = 3
    work = make_plan({common: 5})[0].works[0]
    scores = tuple(TokenLogprobs(id, -1.0) for id in work.score_ids)
    assert new_scores(common, work, scores) == scores[3:]
    assert common.num_scored == 5
    with pytest.raises(RuntimeError, match="5 scores were asked for and 1 came"):
        new_scores(common, work, scores[:1])


@pytest.mark.parametrize(
    ("token_id", "index", "num_tokens", "reason"),
    [
        (7, 0, 10, None),
        (7, 2, 10, FinishReason.STOP),
        (7, 5, 10, FinishReason.STOP),
        (8, 4, 10, None),
        (8, 5, 10, FinishReason.LENGTH),
        (8, 1, 20, FinishReason.LENGTH),
        (8, 1, 19, None),
    ],
)
def test_what_ends_an_answer(token_id: int, index: int, num_tokens: int, reason: FinishReason | None) -> None:
    sampling = Sampling(max_tokens=6, min_tokens=3, stop_token_ids=(7,))
    assert finish_reason(sampling, token_id, index, num_tokens, 20) is reason


def test_limits_leave_room_for_prompts() -> None:
    for token_budget, max_sequences in ((8, 8), (8, 0)):
        with pytest.raises(StartupError, match="no room for prompts"):
            Limits(token_budget, max_sequences, 100)


def test_refusals_say_what_is_wrong() -> None:
    limit = limits(max_sequences=3, max_model_tokens=100).within(20)
    assert limit.max_model_tokens == 20
    assert limit.refusal(attempt("a", range(19), n=3)) is None
    assert limit.refusal(attempt("a", range(10), n=1, tails=[(1,) * 9])) is None
    for wrong, field in (
        (attempt("a", range(20)), "prompt"),
        (attempt("a", range(10), n=1, tails=[(1,) * 10]), "prompt"),
        (attempt("a", []), "prompt"),
        (attempt("a", [1], n=4), "n"),
        (attempt("a", [1], n=0), "n"),
    ):
        error = limit.refusal(wrong)
        assert error is not None
        assert [violation.field for violation in error.violations] == [field]
    one = attempt("a", [1], n=1)
    twice = Attempt(one.id, one.token_ids, 1, one.choices * 2, one.sampling)
    assert limit.refusal(twice) is not None


def test_pace_follows_the_last_steps() -> None:
    pace = Pace()
    assert (pace.step_ms, pace.prefill_tokens_per_s) == (0.0, 0.0)
    pace.note(0, 0.010)
    assert pace.step_ms == pytest.approx(10.0)
    assert pace.prefill_tokens_per_s == 0.0
    for _ in range(60):
        pace.note(100, 0.050)
    assert pace.step_ms == pytest.approx(50.0, rel=0.01)
    assert pace.prefill_tokens_per_s == pytest.approx(2000.0)
    pace.note(0, 0.010)
    assert pace.prefill_tokens_per_s == pytest.approx(2000.0)
    load = engine_load(
        BlockTables.create(9, 4, b"k", "m"),
        num_running=1,
        num_waiting=2,
        backlog_tokens=3,
        prefill_tokens_per_s=0.0,
        step_ms=0.0,
    )
    assert (load.num_free_blocks, load.num_running, load.num_waiting, load.backlog_tokens) == (9, 1, 2, 3)


def test_a_stop_in_the_middle_of_a_step_says_little_of_the_pace() -> None:
    pace = Pace()
    for _ in range(30):
        pace.note(100, 0.050)
    pace.note(100, 60.0)
    assert pace.prefill_tokens_per_s > 500
    assert pace.step_ms < 200
    for _ in range(60):
        pace.note(100, 5.0)
    assert pace.prefill_tokens_per_s == pytest.approx(20.0, rel=0.05)
    assert pace.step_ms == pytest.approx(5000.0, rel=0.05)
