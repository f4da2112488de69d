"""What a seed decides: the size of the fleet, what it is asked, and what befalls it."""

from dataclasses import dataclass
from random import Random

from common.types.attempt import Attempt, Choice
from common.types.ids import AttemptId
from common.types.sampling import Sampling

CALM_ONE_IN = 5
ARRIVALS_S = 15.0


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: which router gets it when, how long it may take, and when its client leaves, if it does."""

    router: str
    at_s: float
    deadline_s: float
    attempt: Attempt
    leaves_after_s: float | None


@dataclass(frozen=True, slots=True)
class Blow:
    """One fault: `kind` is crash, freeze or cut; a cut is between two processes."""

    kind: str
    at_s: float
    lasts_s: float
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything a run needs that is not decided on the way. Shares are probabilities per message or copied block."""

    seed: int
    calm: bool
    routers: tuple[str, ...]
    prefills: tuple[str, ...]
    decodes: tuple[str, ...]
    num_blocks: int
    asks: tuple[Ask, ...]
    blows: tuple[Blow, ...]
    loss: float
    repeat: float
    late: float
    flip: float
    broken_copy: float
    slow_copy: float
    local: float


def make_plan(seed: int, max_requests: int = 60) -> Plan:
    """The same plan for the same seed, everywhere."""
    random = Random(seed)
    calm = random.randrange(CALM_ONE_IN) == 0
    routers = _names("router", random.randint(1, 2))
    prefills = _names("prefill", random.randint(2, 4))
    decodes = _names("decode", random.randint(2, 6))
    asks = [_ask(random, number, routers, calm) for number in range(random.randint(max_requests // 3, max_requests))]
    names = (*routers, *prefills, *decodes)
    blows = [] if calm else [_blow(random, names) for _ in range(random.randint(1, 6))]

    def share(most: float) -> float:
        return 0.0 if calm or random.random() < 0.4 else random.uniform(0, most)

    return Plan(
        seed=seed,
        calm=calm,
        routers=routers,
        prefills=prefills,
        decodes=decodes,
        num_blocks=random.randint(16, 40),
        asks=tuple(asks),
        blows=tuple(sorted(blows, key=lambda blow: blow.at_s)),
        loss=share(0.02),
        repeat=share(0.10),
        late=share(0.10),
        flip=share(0.05),
        broken_copy=share(0.05),
        slow_copy=share(0.05),
        local=random.choice((0.0, 0.1, 0.5)),
    )


def _names(kind: str, count: int) -> tuple[str, ...]:
    return tuple(f"{kind}-{number}" for number in range(1, count + 1))


def _ask(random: Random, number: int, routers: tuple[str, ...], calm: bool) -> Ask:
    prompt = tuple(random.randrange(100) for _ in range(random.randint(1, 24)))
    choices = tuple(Choice(choice) for choice in range(random.choice((1, 1, 1, 1, 2, 3))))
    sampling = Sampling(seed=random.randrange(1 << 30), max_tokens=random.randint(1, 12))
    attempt = Attempt(AttemptId(f"r-{number}", 1), prompt, len(prompt), choices, sampling)
    leaves = None if calm or random.random() < 0.9 else random.uniform(0, 3)
    return Ask(random.choice(routers), random.uniform(0, ARRIVALS_S), random.uniform(10, 60), attempt, leaves)


def _blow(random: Random, names: tuple[str, ...]) -> Blow:
    kind = random.choice(("crash", "freeze", "cut"))
    lasts_s = random.choice((0.2, 1.0, 4.0, 12.0)) * random.uniform(0.5, 1.5)
    return Blow(
        kind, random.uniform(0, ARRIVALS_S + 5), lasts_s, tuple(random.sample(names, 2 if kind == "cut" else 1))
    )
