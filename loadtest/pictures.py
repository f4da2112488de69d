"""Pictures of the terminal for README, taken of a running fleet that serves the demo model: chat and top as SVG.

    python -m loadtest.pictures [--grpc HOST:PORT] [--http HOST:PORT] [--folder DIR]

Owns what is asked and how it is drawn; what is shown is what the commands show.
"""

import argparse
import asyncio
import io
import re
from pathlib import Path

from rich.console import Console
from rich.text import Text

from baton.cli.asking import summary
from baton.cli.glance import glance
from baton.cli.top import ask
from baton.client import Client
from common.types.config import GRPC
from common.types.config_top import HTTP, TopConfig

FOLDER = Path("docs/pictures")
WIDTH = 132
QUESTIONS = (
    "What is a KV block?",
    "How do KV blocks get from prefill to decode?",
    "What happens when a worker dies?",
    "Tell me a story.",
)
LOAD, LOAD_TOKENS, LOAD_S = 6, 200, 12.0
FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


async def chat(client: Client) -> Console:
    """A conversation as `baton chat` shows it, greedy."""
    console = _console()
    turns: list[dict[str, str]] = []
    for question in QUESTIONS:
        turns.append({"role": "user", "content": question})
        completion = await client.chat(turns, temperature=0.0, max_tokens=100)
        turns.append({"role": "assistant", "content": completion.text})
        console.print(Text.assemble(("> ", "bold"), question))
        console.print(Text(completion.text))
        console.print(Text(summary(completion.done), "dim"))
    return console


async def top(client: Client, http: str) -> Console:
    """The fleet's page while it has something to do."""

    async def keep_busy(seed: int) -> None:
        while True:
            await client.complete("Once upon a time", max_tokens=LOAD_TOKENS, seed=seed, ignore_eos=True)

    tasks = [asyncio.create_task(keep_busy(seed)) for seed in range(LOAD)]
    await asyncio.wait(tasks, timeout=LOAD_S, return_when=asyncio.FIRST_EXCEPTION)
    seen = await asyncio.to_thread(ask, TopConfig(http=http))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    console = _console()
    console.print(glance(seen))
    return console


def save(console: Console, title: str, path: Path) -> None:
    """As SVG that fetches nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(FONT.sub("", console.export_svg(title=title)))


def _console() -> Console:
    return Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")


async def _take(grpc: str, http: str, folder: Path) -> None:
    async with Client(grpc) as client:
        save(await chat(client), "baton chat", folder / "chat.svg")
        save(await top(client, http), "baton top", folder / "top.svg")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m loadtest.pictures", description=__doc__)
    parser.add_argument("--grpc", default=GRPC)
    parser.add_argument("--http", default=HTTP)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    given = parser.parse_args()
    asyncio.run(_take(given.grpc, given.http, given.folder))


if __name__ == "__main__":
    main()
