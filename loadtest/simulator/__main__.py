"""`python -m loadtest.simulator`: runs seeds of random faults, or `explore`s every order of events of small worlds."""

import argparse
import sys
from time import monotonic

from loadtest.simulator.explorer import Explorer
from loadtest.simulator.fleet import Fleet
from loadtest.simulator.outcome import Outcome, judge
from loadtest.simulator.plan import make_plan
from loadtest.simulator.words import Violation
from loadtest.simulator.worlds import WORLDS

SEEDS_PER_WORD = 200


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m loadtest.simulator", description=__doc__)
    parser.add_argument("--first", type=int, default=0, help="first seed of a series (default 0)")
    parser.add_argument("--seeds", type=int, default=2000, help="how many seeds (default 2000)")
    parser.add_argument("--requests", type=int, default=60, help="most requests per seed (default 60)")
    parser.add_argument("--seed", type=int, help="run this seed only")
    parser.add_argument("--trace", action="store_true", help="with --seed: print all that happens")
    explore = parser.add_subparsers(dest="command").add_parser("explore", help="small worlds, exhaustively")
    explore.add_argument("--states", type=int, default=6_000_000, help="give up on a world after this many states")
    explore.add_argument("--only", default="", help="worlds whose name contains this")
    options = parser.parse_args(arguments)
    try:
        if options.command == "explore":
            explore_worlds(options.states, options.only)
        elif options.seed is not None:
            print(run_seed(options.seed, options.requests, trace=options.trace))
        else:
            run_series(range(options.first, options.first + options.seeds), options.requests)
    except Violation as violation:
        print(f"violation: {violation}", file=sys.stderr)
        return 1
    return 0


def explore_worlds(max_states: int, only: str) -> None:
    """One line per world."""
    print(f"{'world':45} {'states':>11} {'transitions':>12} {'process states':>24} {'messages':>8}  result", flush=True)
    for named in WORLDS:
        if only in named.name:
            start = monotonic()
            findings = Explorer(named.world).run(max_states)
            processes = "+".join(str(count) for count in findings.num_process_states)
            result = "complete" if findings.complete else "bounded"
            print(
                f"{named.name:45} {findings.num_states:11,} {findings.num_transitions:12,} {processes:>24}"
                f" {findings.num_messages:8}  {result}, {monotonic() - start:.0f} s",
                flush=True,
            )


def run_seed(seed: int, max_requests: int, *, trace: bool = False) -> Outcome:
    """One run; a violation names its seed."""
    fleet = Fleet(make_plan(seed, max_requests), print if trace else None)
    try:
        fleet.run()
        return judge(fleet)
    except Violation as violation:
        raise Violation(f"seed {seed}: {violation}") from violation


def run_series(seeds: range, max_requests: int) -> None:
    """Many runs and their sums."""
    outcomes = []
    for seed in seeds:
        outcomes.append(run_seed(seed, max_requests))
        if len(outcomes) % SEEDS_PER_WORD == 0:
            print(f"{len(outcomes)} of {len(seeds)} seeds", file=sys.stderr, flush=True)
    print(f"{len(seeds)} seeds: every promise held")
    for name in Outcome.__slots__:
        print(f"{name.removeprefix('num_').replace('_', ' '):>20} {sum(getattr(v, name) for v in outcomes):>12,}")


if __name__ == "__main__":
    sys.exit(main())
