"""The decode scheduler when something ends early: drops, quarantine, failures, misuse."""

import pytest

from common.engine.messages import Drop, Join, Reserve, Reserved, Submit
from common.types.ids import AttemptId
from common.types.sampling import SampledToken
from tests.decode_worker.drive import Drive, Stay
from tests.engine.attempts import LONG, attempt, limits


def stays_in_every_state(drive: Drive) -> list[Stay]:
    joined = drive.enter(attempt("joined", range(9), n=2, sampling=LONG), local=False)
    drive.join(joined)
    local = drive.enter(attempt("local", range(20, 50)), local=True)
    drive.step()
    reserved = drive.enter(attempt("reserved", range(60, 69)), local=False)
    quarantined = drive.enter(attempt("quarantined", [*range(8), 99]), local=False)
    assert quarantined.num_cached == 2
    drive.quarantine(quarantined)
    queued = drive.enter(attempt("queued", range(90)), local=False)
    behind = drive.enter(attempt("behind", range(90)), local=True)
    assert [queued.state, behind.state] == ["queued", "queued"]
    return [joined, local, reserved, quarantined, queued, behind]


@pytest.mark.parametrize("first", range(6))
def test_dropping_frees_once_whatever_the_state(first: int) -> None:
    drive = Drive(limits(), num_blocks=30)
    stays = stays_in_every_state(drive)
    assert drive.tables.pool.counts().num_quarantined == 1
    for stay in stays[first:] + stays[:first]:
        drive.drop(stay)
        drive.drop(stay)
    assert not drive.step()
    drive.empty()


def test_quarantine_lets_go_of_cached_blocks_only() -> None:
    drive = Drive(limits(), num_blocks=30)
    stays = stays_in_every_state(drive)
    drive.quarantine(stays[4])
    drive.quarantine(Stay(attempt("unknown", [1]), False, {}))
    for stay in (stays[0], stays[1]):
        with pytest.raises(RuntimeError, match="cannot be quarantined"):
            drive.quarantine(stay)
    with pytest.raises(RuntimeError, match="joined while QUARANTINED"):
        drive.scheduler.accept(Join(stays[3].attempt.id, ()), 0.0)
    assert drive.scheduler.load().num_quarantined_blocks == 1


def test_choices_end_one_by_one() -> None:
    drive = Drive(limits(), num_blocks=30)
    stay = drive.enter(attempt("a", range(9), n=3, sampling=LONG), local=False)
    drive.drop(stay, (1,))
    drive.join(stay)
    assert drive.scheduler.load().num_running == 2
    drive.step()
    drive.drop(stay, (0, 1))
    drive.step()
    drive.drop(stay, (2,))
    assert not drive.step()
    drive.empty()
    reserved = drive.enter(attempt("b", range(9)), local=False)
    drive.drop(reserved, (0,))
    assert drive.tables.pool.counts().num_owned > 0
    drive.join(reserved)
    drive.empty()


def test_nothing_to_choose_fails_all_choices_of_that_attempt() -> None:
    drive = Drive(limits(), num_blocks=30)
    bad, good = (drive.enter(attempt(name, range(9), n=2), local=True) for name in "ab")
    drive.step()
    drive.runner.fails.add("a")
    drive.step()
    assert bad.state == "refused"
    drive.run()
    assert good.complete
    drive.empty()


def test_attempts_of_one_request_stand_beside_each_other() -> None:
    drive = Drive(limits(), num_blocks=30)
    one, two = (drive.enter(attempt("a", range(9), number=number), local=False) for number in (1, 2))
    assert not set(one.blocks) & set(two.blocks)
    drive.drop(one)
    drive.join(two)
    drive.run()
    assert two.complete
    drive.post(Join(one.attempt.id, ()))
    three = drive.enter(attempt("a", range(9), number=3), local=False)
    with pytest.raises(RuntimeError, match="came twice"):
        drive.post(Reserve(three.attempt))


def test_misuse_is_a_bug() -> None:
    drive = Drive(limits(), num_blocks=12)
    with pytest.raises(RuntimeError, match="not for a decode worker"):
        drive.scheduler.accept(Submit(attempt("a", [1]), True), 0.0)
    [reserved] = drive.scheduler.accept(Reserve(attempt("a", [1, 2])), 0.0)
    assert isinstance(reserved, Reserved)
    drive.scheduler.accept(Join(reserved.id, (SampledToken(0, 0, 3),)), 0.0)
    drive.scheduler.plan(0.0)
    with pytest.raises(RuntimeError, match="between plan and commit"):
        drive.scheduler.accept(Drop(AttemptId("a", 1)), 0.0)
