"""The prefill scheduler when something ends early: refusals, drops, failures, misuse."""

import pytest

from common.engine.messages import Drop, Refused, Reserve, Submit
from common.types.errors import InvalidRequest
from common.types.ids import AttemptId
from tests.engine.attempts import attempt, limits
from tests.prefill_worker.drive import Drive


def test_what_never_fits_is_refused_at_once() -> None:
    drive = Drive(limits(max_model_tokens=30), num_blocks=4)
    for too_much in (attempt("a", range(16)), attempt("b", []), attempt("c", [1], n=9), attempt("d", [1], n=0)):
        refused = drive.submit(too_much).refused
        assert isinstance(refused, Refused)
        assert isinstance(refused.error, InvalidRequest)
    assert drive.submit(attempt("e", range(15))).refused is None


def test_attempts_of_one_request_stand_beside_each_other() -> None:
    drive = Drive(limits(), num_blocks=12)
    one, two = drive.submit(attempt("a", range(6))), drive.submit(attempt("a", range(6), number=2))
    drive.step()
    assert one.manifest is not None
    assert two.manifest is not None
    assert {ref.block for ref in one.refs}.isdisjoint(ref.block for ref in two.refs)
    drive.drop(one)
    drive.intact()
    with pytest.raises(RuntimeError, match="twice"):
        drive.submit(attempt("a", range(6), number=2))


def test_dropped_at_any_stage_and_twice() -> None:
    drive = Drive(limits(token_budget=9), num_blocks=12)
    waiting, computing, sealed = (drive.submit(attempt(name, range(12))) for name in "abc")
    drive.drop(waiting)
    drive.step()
    drive.drop(computing)
    drive.step()
    drive.step()
    assert sealed.manifest is not None
    for lending in (sealed, sealed, waiting):
        drive.drop(lending)
    drive.empty()


def test_a_loan_outlives_its_choices() -> None:
    drive = Drive(limits(), num_blocks=12)
    lent = drive.submit(attempt("a", range(6), n=2))
    local = drive.submit(attempt("b", range(6), n=2), lend=False)
    drive.drop(lent, (0,))
    drive.drop(local, (0, 1))
    drive.step()
    assert lent.first is not None
    assert [token.choice for token in lent.first.tokens] == [1]
    assert local.first is None
    drive.drop(lent, (1,))
    assert drive.tables.pool.counts().num_sealed == 2
    drive.intact()


def test_nothing_to_choose_fails_that_attempt_alone() -> None:
    drive = Drive(limits(), num_blocks=12)
    drive.runner.fails.add("a")
    bad, good = drive.submit(attempt("a", range(6))), drive.submit(attempt("b", range(6)))
    drive.step()
    assert bad.refused is not None
    assert bad.manifest is None
    assert good.manifest is not None
    drive.drop(good)
    drive.empty()


def test_misuse_is_a_bug() -> None:
    drive = Drive(limits(), num_blocks=12)
    with pytest.raises(RuntimeError, match="not for a prefill worker"):
        drive.scheduler.accept(Reserve(attempt("a", [1])), 0.0)
    drive.scheduler.accept(Submit(attempt("a", [1]), True), 0.0)
    drive.scheduler.plan(0.0)
    with pytest.raises(RuntimeError, match="between plan and commit"):
        drive.scheduler.accept(Drop(AttemptId("a", 1)), 0.0)
