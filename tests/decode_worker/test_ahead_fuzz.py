"""A runner that works a step ahead never spoils anybody's KV, and never yields a token nobody asked for."""

from random import Random

import pytest

from common.engine.limits import Limits
from tests.decode_worker.ahead import AheadDrive
from tests.decode_worker.test_scheduler_fuzz import disturb


def play(seed: int, settles: bool = True) -> AheadDrive:
    random = Random(seed)
    max_sequences = random.choice((3, 5, 9))
    limits = Limits(random.randint(max_sequences + 1, 24), max_sequences, random.choice((40, 60, 200)), num_ahead=1)
    drive = AheadDrive(limits, random.choice((12, 17, 30, 80)), settles=settles)
    for number in range(80):
        if random.random() < 0.3:
            disturb(drive, random, number)
        for _ in range(random.randrange(5)):
            drive.step()
    drive.finish(random)
    return drive


@pytest.mark.parametrize("seed", range(60))
def test_any_interleaving_gives_the_undisturbed_tokens(seed: int) -> None:
    play(seed)


def test_steps_are_found_computed() -> None:
    assert sum(play(seed).runner.num_ahead for seed in range(10)) > 200


def test_without_waiting_for_what_is_under_way_fetched_blocks_are_spoilt() -> None:
    """The rule that the loop settles before a reservation is heard of is no decoration."""
    spoilt = 0
    for seed in range(60):
        try:
            play(seed, settles=False)
        except AssertionError:
            spoilt += 1
    assert spoilt
