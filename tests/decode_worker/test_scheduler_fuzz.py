"""Any interleaving of commands and steps over a small pool gives the tokens of an undisturbed run."""

from random import Random

import pytest

from common.engine.limits import Limits
from common.types.attempt import Attempt, Choice
from common.types.ids import AttemptId
from common.types.sampling import Sampling
from tests.decode_worker.drive import Drive

STEMS = ((1, 2, 3, 4, 5, 6, 7, 8), (1, 2, 3, 4, 9, 9, 9, 9, 8, 8, 8, 8), (5,))


def random_attempt(random: Random, number: int) -> Attempt:
    """Prompts that often share their beginning, with every kind of choice."""
    stem = random.choice(STEMS)
    token_ids = stem + tuple(random.randrange(10) for _ in range(random.randrange(24)))
    num_prompt = random.randint(1, len(token_ids)) if random.random() < 0.3 else len(token_ids)
    choices = tuple(
        Choice(index, tuple(random.randrange(10) for _ in range(random.randrange(12))) if random.random() < 0.3 else ())
        for index in range(random.choice((1, 1, 1, 2, 3)))
    )
    longest = len(token_ids) - num_prompt + max(len(choice.tail) for choice in choices)
    sampling = Sampling(
        seed=random.randrange(3),
        max_tokens=longest + random.randint(1, 20),
        min_tokens=random.choice((0, 4)),
        stop_token_ids=(random.randrange(50),) if random.random() < 0.5 else (),
        prompt_logprobs=2 if random.random() < 0.2 else None,
    )
    id = AttemptId(f"r{number // 2}", number)
    return Attempt(id, token_ids, num_prompt, choices, sampling, random.choice((b"", b"", b"tenant")))


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
