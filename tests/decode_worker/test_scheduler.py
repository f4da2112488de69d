"""The decode scheduler, decision by decision: the way of an attempt that nothing disturbs."""

import pytest

from common.engine.messages import Drop, Join, Joined, Refused, Started, StepTokens
from common.types.errors import Unavailable
from common.types.ids import AttemptId
from common.types.sampling import FinishReason, SampledToken, Sampling
from tests.decode_worker.drive import Drive
from tests.engine.attempts import LONG, attempt, limits


def test_a_hand_off_is_reserved_joined_decoded_and_freed() -> None:
    drive = Drive(limits(), num_blocks=8)
    stay = drive.enter(attempt("a", range(10)), local=False)
    assert (stay.state, len(stay.blocks), stay.num_cached) == ("reserved", 3, 0)
    assert not drive.step()
    first = stay.expected[0][0]
    drive.runner.fill(stay.blocks, range(10))
    stay.state = "running"
    events = drive.scheduler.accept(Join(stay.attempt.id, (first,)), 0.0)
    assert events[:2] == (Joined(stay.attempt.id), StepTokens(((stay.attempt.id, first),)))
    drive.take(events)
    plan = drive.planned()
    assert (plan.num_decode, plan.works[0].start, plan.works[0].token_ids) == (1, 10, (first.token_id,))
    drive.done(plan)
    drive.run()
    assert stay.complete
    drive.empty()
    assert drive.tables.pool.counts().num_cached == 3


def test_a_second_turn_finds_generated_text_in_the_cache() -> None:
    drive = Drive(limits(), num_blocks=16)
    first = drive.enter(attempt("a", range(10), sampling=Sampling(max_tokens=8)), local=True)
    drive.run()
    text = [*range(10), *(token.token_id for token in first.got[0])]
    second = drive.enter(attempt("b", [*text, 1, 2, 3]), local=False)
    assert second.num_cached == 4
    drive.join(second)
    drive.run()
    assert second.complete


def test_cached_blocks_may_be_the_whole_hand_off() -> None:
    drive = Drive(limits(), num_blocks=8)
    drive.enter(attempt("a", range(8)), local=True)
    drive.run()
    stay = drive.enter(attempt("b", range(8)), local=False)
    assert (len(stay.blocks), stay.num_cached) == (2, 2)
    drive.join(stay)
    drive.run()
    assert stay.complete


def test_choices_share_full_blocks_and_copy_the_last() -> None:
    drive = Drive(limits(), num_blocks=16)
    stay = drive.enter(attempt("a", range(10), n=3, sampling=LONG), local=False)
    drive.join(stay)
    plan = drive.planned()
    assert len(plan.copies) == 2
    assert {source for source, _ in plan.copies} == {stay.blocks[2]}
    tables = [list(work.blocks) for work in plan.works]
    assert [table[:2] for table in tables] == [list(stay.blocks[:2])] * 3
    assert len({table[2] for table in tables}) == 3
    drive.done(plan)
    drive.run()
    assert stay.complete
    drive.empty()


def test_nothing_is_copied_when_the_last_block_is_full() -> None:
    drive = Drive(limits(), num_blocks=16)
    stay = drive.enter(attempt("a", range(8), n=3, sampling=LONG), local=False)
    drive.join(stay)
    assert drive.planned().copies == ()


def test_a_tail_is_computed_here_and_goes_on_where_it_was() -> None:
    drive = Drive(limits(token_budget=9), num_blocks=30)
    sampling = Sampling(max_tokens=20)
    stay = drive.enter(
        attempt("a", range(6), n=1, tails=[(3, 1, 4, 1, 5, 9, 2, 6, 5, 3)], sampling=sampling), local=False
    )
    drive.join(stay)
    plan = drive.planned()
    assert [len(work.token_ids) for work in plan.works] == [1, 8]
    assert [row.choice for row in plan.rows] == [0]
    drive.done(plan)
    drive.run()
    assert stay.complete
    assert stay.got[1][0].index == 10


def test_a_local_prompt_goes_through_the_same_batch_in_chunks() -> None:
    drive = Drive(limits(token_budget=9), num_blocks=30)
    running = drive.enter(attempt("a", range(5), sampling=LONG), local=True)
    drive.step()
    drive.now = 3.0
    drive.take(drive.scheduler.accept(Drop(AttemptId("nobody", 1)), 3.0))
    local = drive.enter(attempt("b", range(50, 70), n=2), local=True)
    plan = drive.planned()
    assert [len(work.token_ids) for work in plan.works] == [1, 8]
    drive.done(plan)
    drive.run()
    assert running.complete
    assert local.complete
    drive.empty()


def test_started_tells_hits_and_queueing() -> None:
    drive = Drive(limits(max_sequences=1), num_blocks=30)
    drive.enter(attempt("a", range(9)), local=True)
    drive.now = 1.0
    waits = attempt("b", range(9))
    drive.enter(waits, local=True)
    seen: list[Started] = []
    for _ in range(10):
        plan = drive.scheduler.plan(drive.now)
        if plan is None:
            break
        drive.now += 1.0
        events = drive.scheduler.commit(plan, drive.runner.run(plan), drive.now)
        seen += [event for event in events if isinstance(event, Started)]
        drive.take(events)
    assert seen == [Started(waits.id, 8, 4.0)]


def test_a_first_token_that_ended_its_choice_is_told_and_not_run() -> None:
    drive = Drive(limits(), num_blocks=16)
    stay = drive.enter(attempt("a", range(10), n=2, sampling=Sampling(max_tokens=1)), local=False)
    drive.join(stay)
    assert stay.complete
    assert [rows[0].finish for rows in stay.got.values()] == [FinishReason.LENGTH] * 2
    assert not drive.step()
    drive.empty()


def test_a_small_pool_ends_an_answer_that_prefill_would_go_on_with() -> None:
    drive = Drive(limits(), num_blocks=3)
    stay = drive.enter(attempt("a", range(11), sampling=LONG), local=False)
    token = stay.expected[0][0]
    assert token.finish is FinishReason.LENGTH
    drive.runner.fill(stay.blocks, range(11))
    stay.state = "running"
    drive.post(Join(stay.attempt.id, (token._replace(finish=None),)))
    assert stay.complete
    drive.empty()


@pytest.mark.parametrize("tokens", [(), (SampledToken(0, 1, 5),), (SampledToken(1, 0, 5),)])
def test_a_hand_off_without_its_first_tokens_is_refused(tokens: tuple[SampledToken, ...]) -> None:
    drive = Drive(limits(), num_blocks=8)
    stay = drive.enter(attempt("a", range(10)), local=False)
    [refused] = drive.scheduler.accept(Join(stay.attempt.id, tokens), 0.0)
    assert isinstance(refused, Refused)
    assert isinstance(refused.error, Unavailable)
    drive.empty()
