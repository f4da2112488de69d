"""`python -m loadtest.goodput`: goodput of each rule for routes at each rate of arrivals, in virtual time."""

import argparse
import sys
from dataclasses import dataclass
from functools import partial
from math import inf

from loadtest.goodput.outcome import Outcome
from loadtest.goodput.speeds import Speeds
from loadtest.goodput.world import Decide, Load, World
from router.policy.local import Goals
from router.policy.route import ModeRule, choose_route

RATES = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m loadtest.goodput", description=__doc__)
    parser.add_argument("--rates", default=",".join(map(str, RATES)), help="requests per second, in turn")
    parser.add_argument("--duration-s", type=float, default=120.0, help="virtual seconds of arrivals")
    parser.add_argument("--input-tokens", default="512", help="lengths of prompts, in equal parts")
    parser.add_argument("--output-tokens", default="64", help="lengths of answers, in equal parts")
    parser.add_argument(
        "--ttft-goal-ms", type=float, default=1000.0, help="what goodput counts, and the router aims at"
    )
    parser.add_argument("--tpot-goal-ms", type=float, default=60.0, help="the same of the tokens after the first")
    parser.add_argument("--streams", type=int, default=0, help="long answers beside the load, whose pauses are told")
    parser.add_argument("--token-ms", type=float, default=Speeds().token_ms, help="what a prompt's token takes a core")
    parser.add_argument("--seed", type=int, default=1, help="of arrivals and lengths")
    options = parser.parse_args(arguments)
    goals = Goals(options.ttft_goal_ms, options.tpot_goal_ms)
    speeds = Speeds(token_ms=options.token_ms)
    lengths = tuple(map(int, options.input_tokens.split(","))), tuple(map(int, options.output_tokens.split(",")))
    for rate in map(float, options.rates.split(",")):
        load = Load(rate, options.duration_s, *lengths, options.seed, options.streams)
        for name, rule in rules(goals).items():
            print(f"{rate:4.1f}/s  {name:22} {simulate(rule, load, goals, speeds)}", flush=True)
    return 0


@dataclass(frozen=True, slots=True)
class Rule:
    """How a router decides, and how decode members cut the prompts they compute."""

    decide: Decide
    tpot_goal_s: float = inf


def rules(goals: Goals) -> dict[str, Rule]:
    """Every prompt by hand-off; by cost alone; by cost and goals, which is what a fleet does unless told otherwise."""
    return {
        "hand-off": Rule(partial(choose_route, rule=ModeRule.HANDOFF)),
        "auto without goals": Rule(partial(choose_route, goals=Goals(0, 0))),
        "auto": Rule(partial(choose_route, goals=goals), goals.tpot_ms / 1000 or inf),
    }


def simulate(rule: Rule, load: Load, goals: Goals, speeds: Speeds = Speeds()) -> Outcome:
    """One run in a world of its own."""
    world = World(rule.decide, speeds=speeds, tpot_goal_s=rule.tpot_goal_s)
    served = world.run(load)
    return Outcome.of(served, world.streams, load.duration_s, goals, world.longest_step_s)


if __name__ == "__main__":
    sys.exit(main())
