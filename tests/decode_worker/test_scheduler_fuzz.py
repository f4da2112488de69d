"""Any interleaving of commands and steps over a small pool gives the tokens of an undisturbed run."""

from random import Random

import pytest

from common.engine.limits import Limits
from tests.decode_worker.drive import Drive
from tests.engine.attempts import random_attempt


def disturb(drive: Drive, random: Random, number: int) -> None:
    """One random command."""
    stays = [stay for stay in drive.stays.values() if stay.state != "gone"]
    reserved = [stay for stay in stays if stay.state == "reserved"]
    draw = random.random()
    if draw < 0.45:
        drive.enter(random_attempt(random, number), local=random.random() < 0.4)
    elif draw < 0.75 and reserved:
        drive.join(random.choice(reserved))
    elif draw < 0.80 and reserved:
        drive.quarantine(random.choice(reserved))
    elif draw < 0.90 and stays:
        drive.drop(random.choice(stays))
    elif stays:
        stay = random.choice(stays)
        drive.drop(stay, (random.choice(stay.attempt.choices).index,))


@pytest.mark.parametrize("seed", range(60))
def test_any_interleaving_gives_the_undisturbed_tokens(seed: int) -> None:
    random = Random(seed)
    max_sequences = random.choice((3, 5, 9))
    limits = Limits(random.randint(max_sequences + 1, 24), max_sequences, random.choice((40, 60, 200)))
    drive = Drive(limits, num_blocks=random.choice((12, 17, 30, 80)))
    for number in range(80):
        if random.random() < 0.5:
            disturb(drive, random, number)
        for _ in range(random.randrange(4)):
            drive.step()
    drive.finish(random)


@pytest.mark.parametrize("seed", range(20))
def test_dropping_everything_at_any_moment_gives_every_block_back(seed: int) -> None:
    random = Random(1000 + seed)
    drive = Drive(Limits(12, 6, 60), num_blocks=16)
    for number in range(random.randrange(40)):
        disturb(drive, random, number)
        if random.random() < 0.6:
            drive.step()
    stays = list(drive.stays.values())
    random.shuffle(stays)
    for stay in stays:
        drive.drop(stay)
    assert not drive.step()
    drive.empty()
