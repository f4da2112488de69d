"""Any interleaving of prompts, drops and ended loans over a small pool: right tokens, right blocks, none lost."""

from random import Random

import pytest

from common.engine.limits import Limits
from tests.engine.attempts import random_attempt
from tests.prefill_worker.drive import Drive


def disturb(drive: Drive, random: Random, number: int) -> None:
    """One random command."""
    held = [lending for lending in drive.lendings.values() if not lending.gone]
    draw = random.random()
    if draw < 0.6:
        drive.submit(random_attempt(random, number), lend=random.random() < 0.7)
    elif draw < 0.9 and held:
        sealed = [lending for lending in held if lending.manifest is not None]
        drive.drop(random.choice(sealed or held))
    elif held:
        lending = random.choice(held)
        drive.drop(lending, (random.choice(lending.attempt.choices).index,))


@pytest.mark.parametrize("seed", range(40))
def test_any_interleaving_gives_right_tokens_and_whole_loans(seed: int) -> None:
    random = Random(seed)
    max_sequences = random.choice((3, 6))
    limits = Limits(random.randint(max_sequences + 1, 30), max_sequences, 60)
    drive = Drive(limits, random.choice((12, 20, 60)), sums_early=seed % 2 == 1)
    for number in range(80):
        if random.random() < 0.6:
            disturb(drive, random, number)
        for _ in range(random.randrange(3)):
            drive.step()
    for _ in range(2000):
        held = [lending for lending in drive.lendings.values() if lending.manifest is not None and not lending.gone]
        if drive.step() is None and not held:
            break
        if held:
            drive.drop(random.choice(held))
    for lending in drive.lendings.values():
        assert lending.gone or lending.first is not None or lending.refused is not None
    drive.empty()


@pytest.mark.parametrize("seed", range(15))
def test_dropping_everything_at_any_moment_gives_every_block_back(seed: int) -> None:
    random = Random(500 + seed)
    drive = Drive(Limits(12, 5, 60), num_blocks=16, sums_early=seed % 2 == 1)
    for number in range(random.randrange(40)):
        disturb(drive, random, number)
        if random.random() < 0.6:
            drive.step()
    lendings = list(drive.lendings.values())
    random.shuffle(lendings)
    for lending in lendings:
        drive.drop(lending)
    assert drive.step() is None
    drive.empty()
