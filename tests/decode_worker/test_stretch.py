"""Steps planned as a stretch give the tokens, blocks and ends that steps planned one by one do."""

from dataclasses import replace
from random import Random

import pytest

from common.engine.limits import Limits
from common.types.attempt import Attempt
from common.types.errors import InvalidRequest
from common.types.ids import AttemptId
from common.types.sampling import Sampling
from tests.decode_worker.drive import Drive, Stay
from tests.engine.attempts import attempt, random_attempt

PLAIN = Sampling(temperature=0.0, max_tokens=40)


def drive(num_blocks: int = 64, max_sequences: int = 8, max_model_tokens: int = 200) -> Drive:
    return Drive(Limits(24, max_sequences, max_model_tokens, goes_further=True), num_blocks)


def plain(attempt: Attempt, max_tokens: int) -> Attempt:
    """The same, greedy and with nothing else asked of its tokens."""
    sampling = replace(attempt.sampling, temperature=0.0, min_tokens=0, logprobs=None, max_tokens=max_tokens)
    return replace(attempt, sampling=sampling)


def enter(world: Drive, *attempts: Attempt) -> list[Stay]:
    return [world.enter(each, local=True) for each in attempts]


def test_most_steps_of_plain_answers_are_further_ones() -> None:
    world = drive()
    stays = enter(world, *[attempt(f"r{n}", (n, 2, 3), sampling=PLAIN) for n in range(5)])
    world.run()
    assert all(stay.complete for stay in stays)
    assert world.runner.num_further > 30
    world.empty()


@pytest.mark.parametrize(
    "sampling", [Sampling(max_tokens=30), replace(PLAIN, logprobs=1), replace(PLAIN, min_tokens=3)]
)
def test_one_row_that_is_not_plain_keeps_all_steps_whole(sampling: Sampling) -> None:
    world = drive()
    enter(
        world,
        attempt("plain", (1, 2), sampling=PLAIN),
        attempt("other", (3, 4), sampling=replace(sampling, max_tokens=30)),
    )
    for _ in range(20):
        world.step()
    assert world.runner.num_further == 0


def test_a_runner_that_knows_none_gets_none() -> None:
    world = Drive(Limits(24, 8, 200), 64)
    enter(world, attempt("a", (1, 2), sampling=PLAIN))
    world.run()
    assert world.runner.num_further == 0


def test_who_looks_between_two_steps_finds_what_has_come() -> None:
    """A command ends the stretch; what runs is what it would be without one."""
    world = drive()
    [stay] = enter(world, attempt("a", (1, 2, 3), sampling=PLAIN))
    for _ in range(11):
        world.step()
    assert world.runner.num_further
    enter(world, attempt("b", (4, 5), sampling=PLAIN))
    [sequence, _] = world.scheduler._batch.running
    assert sequence.num_output == len(stay.got[0])
    assert sequence.num_remaining == 1
    world.run()
    assert all(each.complete for each in world.stays.values())
    world.empty()


def test_the_load_counts_as_it_does_without_a_stretch() -> None:
    loads = []
    for goes_further in (False, True):
        world = Drive(Limits(24, 8, 200, goes_further=goes_further), 64)
        enter(world, *[attempt(f"r{n}", (n, 2, 3), sampling=PLAIN) for n in range(3)])
        for _ in range(25):
            world.step()
        loads.append(world.scheduler.load())
    assert loads[0] == loads[1]


def test_one_that_has_nothing_to_choose_is_refused_and_the_others_go_on() -> None:
    world = drive()
    fails, goes_on = enter(world, attempt("a", (1, 2), sampling=PLAIN), attempt("b", (3, 4), sampling=PLAIN))
    for _ in range(10):
        world.step()
    assert world.runner.num_further
    world.runner.fails.add("a")
    world.run()
    assert (fails.state, goes_on.complete) == ("refused", True)
    world.empty()


def test_why_it_is_refused() -> None:
    world = drive()
    enter(world, attempt("a", (1, 2), sampling=PLAIN))
    for _ in range(10):
        world.step()
    world.runner.fails.add("a")
    plan = world.planned()
    assert plan.further is not None
    [refused, *_] = world.scheduler.commit(plan, world.runner.run(plan), world.now)
    assert isinstance(getattr(refused, "error", None), InvalidRequest)


def test_the_last_token_fits_the_model() -> None:
    world = drive(max_model_tokens=30)
    [stay] = enter(world, attempt("a", (1, 2, 3), sampling=replace(PLAIN, max_tokens=100)))
    world.run()
    assert stay.complete
    assert len(stay.got[0]) == 27
    world.empty()


def test_full_blocks_are_told_of_in_the_step_that_fills_them() -> None:
    world = drive()
    enter(world, attempt("a", (1, 2, 3), sampling=PLAIN))
    for num_steps in range(1, 30):
        world.step()
        assert len(world.hashes) == (2 + num_steps) // 4
    assert world.runner.num_further > 20


def test_nobody_waits_behind_a_stretch() -> None:
    """Whoever waits may find room after any step: each asks."""
    world = drive(max_sequences=2)
    enter(world, *[attempt(name, (1, 2), sampling=PLAIN) for name in "abc"])
    for _ in range(20):
        world.step()
    assert world.runner.num_further == 0
    world.run()
    assert all(stay.complete for stay in world.stays.values())


def test_a_block_that_is_there_already_is_not_taken_for_a_fresh_one() -> None:
    """It may be somebody else's too: to tell is the business of a step that names its rows."""
    world = drive()
    [stay] = enter(world, attempt("a", (1, 2, 3), sampling=PLAIN))
    while world.runner.num_further < 3:
        world.step()
    [sequence] = world.scheduler._batch.running
    sequence.blocks += world.tables.pool.allocate(2) or []
    num_further = world.runner.num_further
    for _ in range(5):
        world.step()
    assert world.runner.num_further < num_further + 5
    world.run()
    assert stay.complete


@pytest.mark.parametrize("length", range(1, 9))
def test_who_says_what_was_said_before_goes_on_from_blocks_that_are_there(length: int) -> None:
    """Also where a block gives way in the very step after which a stretch begins."""
    world = drive()
    for name in "abc":
        [stay] = enter(world, attempt(name, range(length), sampling=PLAIN))
        world.run()
        assert stay.complete
    world.empty()


def test_answers_longer_than_a_stretch_remembers() -> None:
    world = drive(num_blocks=200, max_model_tokens=600)
    stays = enter(world, *[attempt(f"r{n}", (n, 2, 3), sampling=replace(PLAIN, max_tokens=300)) for n in range(3)])
    world.run()
    assert all(stay.complete for stay in stays)
    assert world.runner.num_further > 280
    world.empty()


def test_equal_answers_share_their_blocks_within_a_stretch() -> None:
    """Of two that say the same, one's blocks give way to the other's as they fill, and both go on."""
    world = drive()
    stays = enter(world, attempt("a", (1, 2, 3, 4), sampling=PLAIN), attempt("b", (1, 2, 3, 4), sampling=PLAIN))
    for _ in range(30):
        world.step()
    assert world.runner.num_further > 20
    counts = world.tables.pool.counts()
    assert counts.num_free >= world.tables.pool.num_blocks - (4 + 30) // 4 - 3
    world.run()
    assert all(stay.complete for stay in stays)
    world.empty()


def interleave(seed: int) -> Drive:
    """Few commands between many steps, over pools in which rows now and then have to give way."""
    random = Random(seed)
    max_sequences = random.choice((3, 5, 9))
    limits = Limits(
        random.randint(max_sequences + 1, 24), max_sequences, random.choice((40, 60, 200)), goes_further=True
    )
    world = Drive(limits, num_blocks=random.choice((12, 17, 30, 80)))
    for number in range(30):
        draw, reserved = random.random(), [stay for stay in world.stays.values() if stay.state == "reserved"]
        running = [stay for stay in world.stays.values() if stay.state == "running"]
        if draw < 0.2 and world.stays:  # what was asked before is asked again
            again = random.choice(list(world.stays.values())).attempt
            world.enter(replace(again, id=AttemptId("again", number)), local=random.random() < 0.6)
        elif draw < 0.6:
            world.enter(plain(random_attempt(random, number), random.randint(20, 60)), local=random.random() < 0.6)
        elif draw < 0.9 and reserved:
            world.join(random.choice(reserved))
        elif running:
            world.drop(random.choice(running))
        for _ in range(random.randrange(20)):
            world.step()
    world.finish(random)
    return world


@pytest.mark.parametrize("seed", range(60))
def test_any_interleaving_gives_the_undisturbed_tokens(seed: int) -> None:
    interleave(seed)


def test_many_steps_of_such_interleavings_are_further_ones() -> None:
    """One world alone may have none: its rows may never be left to themselves."""
    worlds = [interleave(seed) for seed in range(10)]
    assert sum(world.runner.num_further for world in worlds) > 200
