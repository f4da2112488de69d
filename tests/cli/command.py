"""Runs `baton` as a user does: a process with arguments, input and output."""

import asyncio
import sys
from dataclasses import dataclass

from tests.house.source import ROOT


@dataclass(frozen=True)
class Ran:
    """What a finished command left."""

    code: int
    out: str
    err: str


async def begin(*argv: str) -> asyncio.subprocess.Process:
    """A command that has just been started."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "baton.cli.main",
        *argv,
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def baton(*argv: str, text: str = "") -> Ran:
    """A command run to its end."""
    process = await begin(*argv)
    out, err = await process.communicate(text.encode())
    return Ran(process.returncode or 0, out.decode(), err.decode())
