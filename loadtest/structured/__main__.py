"""`python -m loadtest.structured [--count N] [--seed S]`: N random schemas and N random expressions, all judged.

Ends with 1 when an answer is not what was asked for, or when something that was accepted could not be enforced.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence

import torch

from common.text.compiler import Compiler, Vocabulary
from common.types.constraint import Constraint
from loadtest.micro.mask import learned_tokenizer
from loadtest.structured.drive import Driver
from loadtest.structured.expressions import random_expression
from loadtest.structured.judge import complaint
from loadtest.structured.schemas import random_schema

VOCABULARY = 4096
MAX_TOKENS = 2000


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.structured", description=(__doc__ or "").partition(":")[2]
    )
    parser.add_argument("--count", type=int, default=1000, help="schemas, and as many expressions")
    parser.add_argument("--seed", type=int, default=0, help="the first of them; the others follow")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    tokenizer = learned_tokenizer(VOCABULARY)
    driver = Driver(Compiler(Vocabulary(tokenizer, VOCABULARY, (1,))), tokenizer, MAX_TOKENS)
    seeds = range(options.seed, options.seed + options.count)
    schemas = [Constraint.json_schema(random_schema(seed)) for seed in seeds]
    expressions = [Constraint.regex(random_expression(seed)) for seed in seeds]
    wrong = sum(
        report(driver, name, asked, options.seed)
        for name, asked in (("schemas", schemas), ("expressions", expressions))
    )
    return 1 if wrong else 0


def report(driver: Driver, name: str, constraints: Sequence[Constraint], seed: int) -> int:
    """Prints what became of them; how many went wrong."""
    began, counts, reasons, wrong = time.perf_counter(), Counter[str](), Counter[str](), 0
    for outcome in driver.outcomes(constraints, seed):
        if outcome.refused:
            counts["refused"] += 1
            reasons[outcome.refused] += 1
            continue
        said = (
            "could not be enforced"
            if outcome.failed
            else ""
            if outcome.cut
            else complaint(outcome.constraint, outcome.text)
        )
        counts["cut at the token limit" if outcome.cut else "wrong" if said else "answered"] += 1
        if said:
            wrong += 1
            print(f"  {outcome.constraint.source}\n    {outcome.text!r}\n    {said}", file=sys.stderr)
    parts = ", ".join(f"{number} {what}" for what, number in sorted(counts.items()))
    print(f"{len(constraints)} {name} from seed {seed}: {parts}; {time.perf_counter() - began:.1f} s")
    for reason, number in reasons.most_common():
        print(f"  {number:4} refused: {reason}")
    return wrong


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
