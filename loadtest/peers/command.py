"""Runs one command to its end within a time, tethered to this process: a bench against a server, an engine's script."""

import asyncio
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from baton.cli.child import Child, ChildSpec, how_it_ended
from loadtest.peers.server import Server

NUM_LAST_LINES = 4


class Failed(Exception):
    """The command did not do what it should; the message is for whoever reads the table."""


async def output(
    name: str,
    argv: Sequence[str],
    limit_s: float,
    environment: Mapping[str, str],
    heard: Callable[[str], None] = lambda line: None,
) -> list[str]:
    """The lines it printed; each was `heard` when it came, so that what came before a failure is not lost."""
    lines: list[str] = []

    def on_line(_: str, line: str) -> None:
        lines.append(line)
        heard(line)

    child = await Child.start(ChildSpec(name, tuple(argv), environment=environment), on_line)
    try:
        async with asyncio.timeout(limit_s):
            code = await child.wait()
    except TimeoutError:
        raise Failed(f"{name} took longer than {limit_s:g} s") from None
    finally:
        child.kill()
        await child.wait()
    if code:
        telling = [line for line in lines if "rror" in line] or lines
        raise Failed(f"{name} failed ({how_it_ended(code)}): " + " | ".join(telling[-NUM_LAST_LINES:]))
    return lines


async def bench(
    server: Server, limit_s: float, environment: Mapping[str, str], **options: object
) -> list[dict[str, Any]]:
    """Runs `baton bench` against the server: its results, one per load of the sweep."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "result.json"
        named = {"json": path, "model_id": server.model_id, **options}
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in named.items() if value != ""]
        argv = (sys.executable, "-m", "baton.cli.main", "bench", server.target, *flags)
        await output(f"bench of {server.name}", argv, limit_s, environment)
        found = json.loads(path.read_text())
    return found if isinstance(found, list) else [found]
