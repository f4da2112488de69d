"""Cores as an operator writes them, and a process that keeps to some of them."""

import os
import re
from collections.abc import Sequence

from common.types.errors import StartupError


def parse_cores(text: str) -> tuple[int, ...]:
    """ "0,1" or "0-3" or both; nothing for an empty text."""
    cores: list[int] = []
    for part in filter(None, text.replace(" ", "").split(",")):
        match = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", part)
        if match is None:
            raise StartupError(f"cores {text!r} is not a list of cores", "Write it like 0,1 or 0-3")
        first, last = int(match[1]), int(match[2] or match[1])
        cores += range(first, last + 1)
    return tuple(sorted(set(cores)))


def keep_to(cores: Sequence[int]) -> None:
    """Moves the calling thread, and the threads it starts from now on, to these cores; stays where it is when empty."""
    if not cores:
        return
    try:
        os.sched_setaffinity(0, cores)
    except OSError as error:
        allowed = ",".join(map(str, sorted(os.sched_getaffinity(0))))
        raise StartupError(
            f"this process may not run on cores {','.join(map(str, cores))}", f"It may use {allowed}"
        ) from error
