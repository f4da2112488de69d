"""Two thousand days of bad luck: every request gets exactly its tokens or a typed error, and every block comes back."""

import hashlib
import subprocess
import sys

import pytest

from loadtest.simulator.__main__ import run_seed
from loadtest.simulator.fleet import Fleet
from loadtest.simulator.outcome import Outcome, judge
from loadtest.simulator.plan import make_plan
from loadtest.simulator.rules import HONEST, Rules
from loadtest.simulator.words import Violation
from tests.handoff.broken import BREAKS, Break

MAX_REQUESTS = 60
NUM_SERIES, SEEDS_PER_SERIES = 20, 100
BLIND_RULES = {"silence is no yes", "Gone is no yes", "the lender is asked", "Landed is a compare-and-set"}
HIDDEN_RULES = {"the lender refuses lower attempts", "the lander refuses lower attempts"}


@pytest.mark.parametrize("series", range(NUM_SERIES))
def test_the_promises_hold_on_every_seed(series: int) -> None:
    seeds = range(series * SEEDS_PER_SERIES, (series + 1) * SEEDS_PER_SERIES)
    outcomes = [run_seed(seed, MAX_REQUESTS) for seed in seeds]
    assert total(outcomes, "num_answered") > 0.8 * total(outcomes, "num_requests")
    assert total(outcomes, "num_failed") > 0
    assert total(outcomes, "num_retried") > 100


def total(outcomes: list[Outcome], name: str) -> int:
    return sum(getattr(outcome, name) for outcome in outcomes)


def trace_of(seed: int) -> list[str]:
    lines: list[str] = []
    fleet = Fleet(make_plan(seed, 20), lines.append)
    fleet.run()
    judge(fleet)
    return lines


def test_one_seed_is_one_trace() -> None:
    assert trace_of(7) == trace_of(7)
    assert trace_of(7) != trace_of(8)


@pytest.mark.parametrize("salt", ["1", "2"])
def test_another_process_sees_the_same_trace(salt: str) -> None:
    command = [sys.executable, "-m", "loadtest.simulator", "--seed", "7", "--requests", "20", "--trace"]
    printed = subprocess.run(command, capture_output=True, check=True, env={"PYTHONHASHSEED": salt}).stdout
    lines = printed.decode().splitlines()[:-1]
    assert digest(lines) == digest(trace_of(7))


def digest(lines: list[str]) -> str:
    return hashlib.blake2b("\n".join(lines).encode()).hexdigest()


@pytest.mark.parametrize(
    "broken",
    [b for b in BREAKS if b.rules is not HONEST and b.rule not in BLIND_RULES | HIDDEN_RULES],
    ids=lambda broken: broken.rule.replace(" ", "-"),
)
def test_a_broken_rule_is_noticed(broken: Break) -> None:
    """Those that only matter without checksums, or hide behind the router's gate, are the explorer's business."""
    with pytest.raises((Violation, KeyError)):
        run_under(broken.rules, 400)


def run_under(rules: Rules, num_seeds: int) -> None:
    for seed in range(num_seeds):
        fleet = Fleet(make_plan(seed, MAX_REQUESTS), rules=rules)
        fleet.run()
        judge(fleet)


def test_a_calm_day_has_no_failures() -> None:
    calm = [seed for seed in range(100) if make_plan(seed, 20).calm]
    outcomes = [run_seed(seed, 20) for seed in calm]
    assert len(calm) > 10
    assert total(outcomes, "num_answered") == total(outcomes, "num_requests")
    assert total(outcomes, "num_retried") == 0
