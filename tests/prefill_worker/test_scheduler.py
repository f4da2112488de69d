"""The prefill scheduler, decision by decision: the way of an attempt that nothing disturbs."""

import pytest

from common.engine.messages import BlocksReady, FirstTokens, Sealed, Started
from common.engine.plan import StepPlan
from common.types.ids import AttemptId
from common.types.sampling import FinishReason, Sampling
from tests.engine.attempts import attempt, limits
from tests.prefill_worker.drive import Drive

SCORED = Sampling(max_tokens=4, prompt_logprobs=3)


def parts(plan: StepPlan | None) -> list[tuple[int, int]]:
    """Where each work starts and how many tokens it has."""
    assert plan is not None
    return [(work.start, len(work.token_ids)) for work in plan.works]


def test_a_prompt_is_computed_announced_sampled_and_sealed() -> None:
    drive = Drive(limits(token_budget=16), num_blocks=8)
    lending = drive.submit(attempt("a", range(21)))
    plan = drive.step()
    assert parts(plan) == [(0, 16)]
    assert plan is not None
    assert not plan.rows
    assert lending.started == Started(AttemptId("a", 1), 0, 0.5)
    assert len(lending.refs) == 4
    assert drive.scheduler.load().num_running == 1
    assert parts(drive.step()) == [(16, 5)]
    assert len(lending.refs) == 6
    assert lending.first is not None
    assert lending.first.prefill_s == 1.5
    assert lending.manifest is not None
    assert (lending.manifest.num_tokens, lending.manifest.layout) == (21, "layout")
    assert lending.manifest.first_tokens == lending.first.tokens
    assert drive.tables.pool.counts().num_sealed == 6
    assert drive.step() is None
    drive.drop(lending)
    drive.empty()
    assert drive.tables.pool.counts().num_cached == 5


def test_first_tokens_come_with_the_seal_in_one_batch() -> None:
    drive = Drive(limits(), num_blocks=8)
    drive.submit(attempt("a", range(6), n=2))
    plan = drive.scheduler.plan(1.0)
    assert plan is not None
    kinds = [type(event) for event in drive.scheduler.commit(plan, drive.runner.run(plan), 2.0)]
    assert kinds[:3] == [BlocksReady, FirstTokens, Sealed]


def test_blocks_are_announced_before_the_tokens_of_their_step_are_chosen() -> None:
    drive = Drive(limits(token_budget=12), num_blocks=16)
    drive.submit(attempt("a", range(14)))
    drive.submit(attempt("kept", range(50, 53)), lend=False)
    announced: list[int] = []
    while (plan := drive.scheduler.plan(1.0)) is not None:
        drive.take(plan.events)
        result = drive.runner.run(plan)
        events = drive.scheduler.summed(plan, result.checksums) if plan.final_blocks else ()
        assert all(isinstance(event, BlocksReady) for event in events)
        announced += [len(event.refs) for event in events if isinstance(event, BlocksReady)]
        drive.take(events)
        after = drive.scheduler.commit(plan, result, 2.0)
        assert not any(isinstance(event, BlocksReady) for event in after), "nothing is announced twice"
        drive.take(after)
    assert announced == [2, 2], "full blocks of each chunk; with the last one all of them"


def test_an_attempt_that_fails_after_its_blocks_were_announced_is_refused() -> None:
    drive = Drive(limits(), num_blocks=8, sums_early=True)
    lending = drive.submit(attempt("a", range(6)))
    drive.runner.fails.add("a")
    drive.step()
    assert len(lending.refs) == 2
    assert lending.refused is not None
    assert lending.manifest is None
    drive.empty()


def test_nothing_lent_is_nothing_kept() -> None:
    drive = Drive(limits(), num_blocks=8)
    lending = drive.submit(attempt("a", range(9), sampling=Sampling(max_tokens=1)), lend=False)
    drive.step()
    assert lending.first is not None
    assert lending.first.tokens[0].finish is FinishReason.LENGTH
    assert not lending.refs
    assert lending.manifest is None
    drive.empty()


def test_short_prompts_share_a_pass_with_a_chunk_of_a_long_one() -> None:
    drive = Drive(limits(token_budget=16), num_blocks=40)
    drive.submit(attempt("long", range(40)))
    drive.submit(attempt("longer", range(100, 150)))
    drive.submit(attempt("short", [7, 7, 7]))
    drive.submit(attempt("brief", [8]))
    assert parts(drive.step()) == [(0, 1), (0, 12), (0, 3)]
    assert parts(drive.step()) == [(12, 16)]
    assert parts(drive.step()) == [(28, 12), (0, 4)]


def test_prompts_that_fit_are_packed_in_order() -> None:
    drive = Drive(limits(token_budget=16, max_sequences=3), num_blocks=40)
    for name in "abcd":
        drive.submit(attempt(name, [ord(name)] * 4))
    assert parts(drive.step()) == [(0, 4)] * 3
    assert parts(drive.step()) == [(0, 4)]


def test_a_hit_is_skipped_up_to_the_last_token_and_announced_at_once() -> None:
    drive = Drive(limits(), num_blocks=12)
    first = drive.submit(attempt("a", range(12)))
    drive.step()
    drive.drop(first)
    lending = drive.submit(attempt("b", range(12)))
    plan = drive.scheduler.plan(9.0)
    assert plan is not None
    assert parts(plan) == [(8, 4)]
    started, ready = plan.events
    assert started == Started(AttemptId("b", 1), 8, 8.0)
    assert isinstance(ready, BlocksReady)
    assert [ref.block for ref in ready.refs] == [ref.block for ref in first.refs[:2]]
    drive.take(plan.events)
    drive.take(drive.scheduler.commit(plan, drive.runner.run(plan), 10.0))
    drive.intact()
    assert len(lending.refs) == 3


def test_hits_without_a_checksum_get_one() -> None:
    drive = Drive(limits(), num_blocks=12)
    drive.submit(attempt("a", range(10)), lend=False)
    drive.step()
    lending = drive.submit(attempt("b", range(10)))
    plan = drive.step()
    assert plan is not None
    assert plan.events == (Started(AttemptId("b", 1), 8, 0.5),)
    assert len(plan.final_blocks) == 3
    assert len(lending.refs) == 3


def test_tenants_share_nothing() -> None:
    drive = Drive(limits(), num_blocks=12)
    drive.submit(attempt("a", range(10), salt=b"one"))
    drive.step()
    drive.submit(attempt("b", range(10), salt=b"two"))
    assert parts(drive.step()) == [(0, 10)]


def test_prompt_log_probabilities_need_every_position() -> None:
    drive = Drive(limits(token_budget=9), num_blocks=12)
    drive.submit(attempt("a", range(10)))
    drive.step()
    drive.step()
    lending = drive.submit(attempt("b", range(10), sampling=SCORED))
    assert parts(drive.step()) == [(0, 9)]
    assert len(lending.scores) == 9
    drive.step()
    assert lending.first is not None
    assert len(lending.scores) == 9


def test_delivered_tokens_are_context_but_no_scored_prompt() -> None:
    drive = Drive(limits(), num_blocks=12)
    lending = drive.submit(
        attempt("a", range(10), num_prompt_tokens=6, sampling=Sampling(max_tokens=9, prompt_logprobs=0))
    )
    drive.step()
    assert len(lending.scores) == 5
    assert lending.first is not None
    assert lending.first.tokens[0].index == 4


def test_choices_with_a_tail_are_not_sampled_here() -> None:
    drive = Drive(limits(), num_blocks=12)
    mixed = drive.submit(attempt("a", range(5), n=2, tails=[(1,)]))
    tails = drive.submit(attempt("b", range(5), n=0, tails=[(1,), (2, 3)]))
    drive.step()
    assert mixed.first is not None
    assert [token.choice for token in mixed.first.tokens] == [0, 1]
    assert tails.first is not None
    assert tails.first.tokens == ()
    assert tails.manifest is not None


def test_a_prompt_waits_until_a_loan_ends_and_nobody_passes_it() -> None:
    drive = Drive(limits(), num_blocks=4)
    lent = drive.submit(attempt("a", range(12)))
    drive.step()
    waits = drive.submit(attempt("b", range(20, 30)))
    behind = drive.submit(attempt("c", [1]))
    assert drive.step() is None
    assert drive.scheduler.load().num_waiting == 2
    assert drive.scheduler.load().backlog_tokens == 11
    drive.drop(lent)
    drive.step()
    assert waits.first is not None
    assert behind.first is not None


def test_load_tells_speed_and_room() -> None:
    drive = Drive(limits(token_budget=10), num_blocks=12)
    drive.submit(attempt("a", range(15)))
    drive.step()
    load = drive.scheduler.load()
    assert (load.num_running, load.num_waiting, load.backlog_tokens, load.num_free_blocks) == (1, 0, 5, 8)
    assert load.prefill_tokens_per_s == pytest.approx(1000.0)
    assert load.step_ms == pytest.approx(10.0)
