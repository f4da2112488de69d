"""The decode scheduler when room is short: who waits, who gives way, who is refused."""

from common.engine.messages import Refused, Reserve
from common.types.errors import InvalidRequest
from common.types.sampling import Sampling
from tests.decode_worker.drive import Drive
from tests.engine.attempts import LONG, attempt, limits


def test_reserves_wait_in_order_and_hold_nothing() -> None:
    drive = Drive(limits(), num_blocks=6)
    one, two, three = (
        drive.enter(attempt(name, range(k, k + 12)), local=False) for name, k in (("a", 0), ("b", 50), ("c", 90))
    )
    small = drive.enter(attempt("d", [1]), local=False)
    assert [stay.state for stay in (one, two, three, small)] == ["reserved", "reserved", "queued", "queued"]
    assert drive.scheduler.load().num_waiting == 2
    assert drive.scheduler.load().backlog_tokens == 0
    drive.drop(two)
    assert three.state == "reserved"
    assert small.state == "queued"
    drive.drop(one)
    assert small.state == "reserved"


def test_rows_are_promised_with_the_reservation() -> None:
    drive = Drive(limits(max_sequences=3), num_blocks=60)
    one = drive.enter(attempt("a", range(5), n=2), local=False)
    two = drive.enter(attempt("b", range(5), n=2), local=False)
    assert (one.state, two.state) == ("reserved", "queued")
    drive.drop(one, (1,))
    assert two.state == "reserved"


def test_the_least_advanced_gives_way_and_repeats_nothing() -> None:
    drive = Drive(limits(max_model_tokens=40), num_blocks=10)
    older = drive.enter(attempt("a", range(12), sampling=LONG), local=False)
    drive.join(older)
    for _ in range(3):
        drive.step()
    younger = drive.enter(attempt("b", range(50, 66), sampling=LONG), local=False)
    drive.join(younger)
    most_waiting = 0
    while drive.step():
        load = drive.scheduler.load()
        most_waiting = max(most_waiting, load.num_waiting)
        if load.num_waiting:
            assert load.backlog_tokens == 16 + len(younger.got[0])
        assert len(older.got[0]) > len(younger.got[0]) or older.complete
    assert most_waiting == 1
    assert older.complete
    assert younger.complete
    drive.empty()


def test_when_nobody_can_stay_the_oldest_comes_back_at_once() -> None:
    drive = Drive(limits(), num_blocks=3)
    stay = drive.enter(attempt("a", range(5), tails=[(1, 2, 3, 4)], sampling=Sampling(max_tokens=6)), local=False)
    other = drive.enter(attempt("b", [7]), local=False)
    assert other.state == "reserved"
    drive.join(stay)
    plan = drive.planned()
    assert [row.choice for row in plan.rows] == [0]
    assert plan.works[0].start == 4
    drive.done(plan)
    drive.drop(other)
    drive.run()
    assert stay.complete
    drive.empty()


def test_a_newcomer_leaves_room_for_those_who_run() -> None:
    drive = Drive(limits(), num_blocks=64)
    drive.join(drive.enter(attempt("a", range(80), sampling=LONG), local=False))
    tight = drive.enter(attempt("b", range(100, 100 + 43 * 4)), local=False)
    assert tight.state == "queued"
    drive.drop(tight)
    assert drive.enter(attempt("c", range(100, 100 + 42 * 4)), local=False).state == "reserved"


def test_who_is_alone_may_take_the_last_block() -> None:
    drive = Drive(limits(), num_blocks=3)
    stay = drive.enter(attempt("a", range(9), n=3), local=False)
    assert stay.state == "reserved"
    drive.join(stay)
    drive.run()
    assert stay.complete


def test_the_same_text_twice_is_held_once() -> None:
    drive = Drive(limits(), num_blocks=16)
    one, two = (drive.enter(attempt(name, range(9), sampling=LONG), local=False) for name in "ab")
    assert not set(one.blocks) & set(two.blocks)
    drive.join(one)
    drive.join(two)
    assert drive.tables.pool.counts().num_owned == 4
    drive.step()
    drive.drop(one)
    drive.run()
    assert two.complete


def test_what_never_fits_is_refused_at_once() -> None:
    drive = Drive(limits(max_model_tokens=30), num_blocks=4)
    for number, local in enumerate((False, True)):
        events = drive.scheduler.accept(Reserve(attempt("a", range(16), number=number)), 0.0)
        [refused] = events
        assert isinstance(refused, Refused)
        assert isinstance(refused.error, InvalidRequest)
        assert drive.enter(attempt("b", range(15), number=number), local).state != "refused"
