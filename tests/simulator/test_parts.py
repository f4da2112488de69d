"""The simulator's small parts: virtual time, the model it computes, copies of state."""

import pytest

from common.cache.pool import BlockPool
from common.types.sampling import FinishReason
from kvtransfer.handoff.land import Lander
from loadtest.simulator.clock import Clock
from loadtest.simulator.snapshot import clone, freeze
from loadtest.simulator.token_truth import TokenTruth
from loadtest.simulator.words import Violation
from tests.handoff.samples import LATER, LAYOUT, OWN, REFS, TIMEOUTS, X, attempt

TRUTH = TokenTruth()


def test_time_passes_in_order() -> None:
    clock, seen = Clock(), []
    for name, time in (("c", 3.0), ("a", 1.0), ("b", 1.0)):
        clock.at(time, lambda name: seen.append((name, clock.now)), name)
    clock.after(2.0, clock.at, 0.5, lambda: seen.append(("late", clock.now)))
    clock.run(max_events=10)
    assert seen == [("a", 1.0), ("b", 1.0), ("late", 2.0), ("c", 3.0)]


def test_a_world_that_never_rests_is_noticed() -> None:
    clock = Clock()

    def again() -> None:
        clock.after(1.0, again)

    again()
    with pytest.raises(Violation, match="rest"):
        clock.run(max_events=100)


def test_the_next_token_depends_on_every_token_seen() -> None:
    asked = attempt()
    contents = tuple(TRUTH.content(asked, place) for place in range(3))
    token = TRUTH.token(asked, contents, 0, ())
    assert token == TRUTH.token(asked, contents, 0, ())
    garbled = (*contents[:2], None)
    swapped = (contents[1], contents[0], contents[2])
    assert len({TRUTH.token(asked, seen, 0, ()).token_id for seen in (contents, garbled, swapped)}) == 3
    assert TRUTH.token(asked, contents, 1, ()).token_id != token.token_id
    assert TRUTH.checksum(garbled[2]) != TRUTH.checksum(contents[2])


def test_an_answer_ends_and_no_longer_than_it_may() -> None:
    answer = TRUTH.answer(attempt(max_tokens=5), 0)
    assert 1 <= len(answer) <= 5
    last = TRUTH.token(attempt(max_tokens=1), ((1,),), 0, ())
    assert last.finish is FinishReason.LENGTH


def test_a_clone_goes_its_own_way() -> None:
    lander = Lander(LAYOUT, TIMEOUTS)
    lander.attach(attempt(), 0.0, 60.0)
    twin = clone(lander)
    assert freeze(twin) == freeze(lander)
    lander.reserved(X, OWN, 0, 1.0)
    lander.ready(X, 0, REFS, 1.0)
    assert freeze(twin) != freeze(lander)
    twin.cancel(X, 1.0)
    assert lander.attach(attempt(LATER), 1.0, 60.0)


def test_the_order_of_free_blocks_is_nothing() -> None:
    first, second = BlockPool(4), BlockPool(4)
    for pool, order in ((first, (0, 1)), (second, (1, 0))):
        blocks = pool.allocate(2)
        assert blocks is not None
        for place in order:
            pool.release([blocks[place]])
    assert freeze(first) == freeze(second)
    assert freeze(first, frozenset({"_generations"})) == freeze(BlockPool(4), frozenset({"_generations"}))
    assert freeze(first) != freeze(BlockPool(4))
