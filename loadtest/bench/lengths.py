"""Lengths of prompts and answers: a distribution named by one text, and what it draws. Pure.

512                    always this
uniform:100:1000       each in between as likely
normal:512:64          mean and deviation
lognormal:512:0.6      median, and the deviation of the logarithm
file:PATH              drawn from a file's numbers, one a line
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from common.types.options import ConfigError

NUM_ARGUMENTS = {"fixed": 1, "uniform": 2, "normal": 2, "lognormal": 2}
FORMS = "N, uniform:LEAST:MOST, normal:MEAN:SD, lognormal:MEDIAN:SIGMA or file:PATH"


@dataclass(frozen=True, slots=True)
class Lengths:
    """A kind of distribution and its numbers; for "drawn" they are the lengths themselves."""

    kind: str
    numbers: tuple[float, ...]

    def draw(self, random: Random) -> int:
        """At least one token."""
        match self.kind:
            case "fixed":
                length = self.numbers[0]
            case "uniform":
                length = random.randint(round(self.numbers[0]), round(self.numbers[1]))
            case "normal":
                length = random.gauss(self.numbers[0], self.numbers[1])
            case "lognormal":
                length = random.lognormvariate(math.log(self.numbers[0]), self.numbers[1])
            case _:
                length = random.choice(self.numbers)
        return max(1, round(length))


def parse_lengths(text: str, source: str, read: Callable[[str], str]) -> Lengths:
    """`source` is the option that held the text; `read` gives a file's contents."""
    kind, _, rest = text.partition(":")
    if kind == "file":
        return _drawn(rest, source, read(rest))
    if not rest:
        kind, rest = "fixed", kind
    parts = rest.split(":")
    if kind not in NUM_ARGUMENTS or len(parts) != NUM_ARGUMENTS[kind]:
        raise ConfigError(f"{source} is {text!r}", f"Write it as {FORMS}")
    numbers = tuple(_number(part, source) for part in parts)
    if numbers[0] < 1:
        raise ConfigError(f"{source} is {text!r}", "A prompt or an answer has at least one token")
    if kind == "uniform" and numbers[1] < numbers[0]:
        raise ConfigError(f"{source} is {text!r}", "The first number is the least, the second the most")
    return Lengths(kind, numbers)


def _drawn(path: str, source: str, contents: str) -> Lengths:
    numbers = tuple(_number(line, f"{source}: a line of {path}") for line in contents.splitlines() if line.strip())
    if not numbers or min(numbers) < 1:
        raise ConfigError(f"{source}: {path} has no lengths", "It needs one number a line, none below 1")
    return Lengths("drawn", numbers)


def _number(text: str, source: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ConfigError(f"{source} is {text!r}", "It must be a number") from None
    if not 0 <= number <= 1e9:
        raise ConfigError(f"{source} is {text!r}", "It must be between 0 and a billion")
    return number
