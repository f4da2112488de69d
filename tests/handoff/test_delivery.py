"""The only gate to the client: every token once, in order, of the current attempt; and what a retry carries on."""

import pytest

from common.types.attempt import Attempt, Choice
from common.types.handoff import FailureKind
from common.types.ids import Role
from common.types.sampling import FinishReason, SampledToken, TokenLogprobs
from kvtransfer.handoff.request import CorruptAttempt, RequestRun
from kvtransfer.handoff.steps import Attach, CancelChoice, ChoosePrefill, Done, MemberId
from tests.handoff.samples import LATER, X, attempt

P, D = MemberId("prefill-1", 11), MemberId("decode-1", 21)
TWO = (Choice(0), Choice(1))


def streaming(first: Attempt | None = None) -> RequestRun:
    run = RequestRun(first or attempt(), 0.0, 60.0)
    run.begin()
    run.routed_prefill(X, P, 0.0)
    run.started(X)
    run.routed_decode(X, D, 0.0)
    run.joined(X)
    return run


def token(index: int, token_id: int, choice: int = 0, finish: FinishReason | None = None) -> SampledToken:
    return SampledToken(choice, index, token_id, finish=finish)


def retry(run: RequestRun) -> Attempt:
    actions = run.leg_failed(run.id, Role.DECODE, FailureKind.INTERNAL, 5.0, may_retry=True)
    choose = actions[-1]
    assert isinstance(choose, ChoosePrefill)
    return choose.attempt


def test_each_token_passes_once_and_in_order() -> None:
    run = streaming()
    assert [run.accept_token(X, token(i, 40 + i)) for i in (0, 0, 1, 2, 1, 0, 3)] == [
        True,
        False,
        True,
        True,
        False,
        False,
        True,
    ]
    assert run.delivered == {0: [40, 41, 42, 43]}


def test_other_attempts_and_unknown_choices_do_not_pass() -> None:
    run = streaming()
    assert not run.accept_token(LATER, token(0, 40))
    assert not run.accept_token(X, token(0, 40, choice=1))
    retry(run)
    assert not run.accept_token(X, token(0, 40))
    assert run.accept_token(LATER, token(0, 40))


@pytest.mark.parametrize("bad", [token(0, 99), token(2, 42)], ids=["changed", "gap"])
def test_a_leg_that_contradicts_what_was_delivered_is_corrupt(bad: SampledToken) -> None:
    run = streaming()
    run.accept_token(X, token(0, 40))
    with pytest.raises(CorruptAttempt):
        run.accept_token(X, bad)
    assert not run.accept_token(X, token(1, 41))
    assert retry(run).token_ids[10:] == (40,)
    assert run.accept_token(LATER, token(1, 41))


def test_nothing_passes_after_a_choice_ended() -> None:
    run = streaming(attempt(choices=TWO))
    assert run.accept_token(X, token(0, 40, finish=FinishReason.STOP))
    assert not run.accept_token(X, token(1, 41))
    assert run.accept_token(X, token(0, 50, choice=1))


def test_a_retry_continues_after_what_was_delivered() -> None:
    run = streaming()
    for index in range(3):
        run.accept_token(X, token(index, 40 + index))
    following = retry(run)
    assert following.token_ids == (*attempt().token_ids, 40, 41, 42)
    assert run.accept_token(LATER, token(3, 43))
    assert run.delivered[0] == [40, 41, 42, 43]


def test_a_retry_wants_only_unfinished_choices() -> None:
    run = streaming(attempt(choices=TWO))
    run.accept_token(X, token(0, 40, finish=FinishReason.STOP))
    run.accept_token(X, token(0, 50, choice=1))
    following = retry(run)
    assert following.choices == (Choice(1),)
    assert following.token_ids[10:] == (50,)


def test_a_retry_that_lacks_one_token_needs_no_decode() -> None:
    run = streaming(attempt(max_tokens=3))
    run.accept_token(X, token(0, 40))
    run.accept_token(X, token(1, 41))
    retry(run)
    assert not run.needs_decode


def test_a_retry_with_tails_needs_decode() -> None:
    run = streaming(attempt(choices=TWO, max_tokens=2))
    run.accept_token(X, token(0, 40))
    following = retry(run)
    assert following.choices == (Choice(0, (40,)), Choice(1))
    assert run.needs_decode


def test_a_stop_string_ends_a_choice_at_the_router() -> None:
    run = streaming(attempt(choices=TWO))
    run.accept_token(X, token(0, 40))
    assert run.choice_stopped(X, 0) == (CancelChoice(X, D, 0),)
    assert run.choice_stopped(X, 0) == ()
    assert not run.accept_token(X, token(1, 41))
    assert run.choice_stopped(X, 1)[-1] == Done()


def test_a_stop_string_before_decode_is_chosen_is_told_when_it_is() -> None:
    run = RequestRun(attempt(choices=TWO), 0.0, 60.0)
    run.begin()
    run.routed_prefill(X, P, 0.0)
    run.started(X)
    run.accept_token(X, token(0, 40))
    assert run.choice_stopped(X, 0) == ()
    assert run.routed_decode(X, D, 0.0) == (Attach(run.attempt, D, P, 60.0), CancelChoice(X, D, 0))


def scores(*values: int) -> tuple[TokenLogprobs, ...]:
    return tuple(TokenLogprobs(value, -float(value)) for value in values)


def test_prompt_scores_pass_once_whatever_is_computed_again() -> None:
    run = streaming(attempt(prompt_logprobs=0))
    assert run.accept_scores(X, scores(1, 2, 3)) == scores(1, 2, 3)
    assert retry(run).sampling.prompt_logprobs == 0
    assert run.accept_scores(X, scores(4)) == ()
    assert run.accept_scores(LATER, scores(1, 2)) == ()
    assert run.accept_scores(LATER, scores(3, 4, 5)) == scores(4, 5)
    assert run.accept_scores(LATER, scores(6, 7, 8, 9, 10)) == scores(6, 7, 8, 9)
    assert retry(run).sampling.prompt_logprobs is None


def test_a_request_ends_only_with_all_its_prompt_scores() -> None:
    run = streaming(attempt(prompt_logprobs=0))
    run.sealed(X)
    run.accept_token(X, token(0, 40, finish=FinishReason.STOP))
    assert run.settle() == ()
    run.accept_scores(X, scores(*range(9)))
    assert run.settle()[-1] == Done()


def test_prefill_may_not_go_while_prompt_scores_are_missing() -> None:
    run = streaming(attempt(prompt_logprobs=0))
    run.sealed(X)
    actions = run.leg_failed(X, Role.PREFILL, FailureKind.INTERNAL, 1.0, may_retry=True)
    assert isinstance(actions[-1], ChoosePrefill)
