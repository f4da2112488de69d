"""`baton chat`: a conversation. Ctrl-C ends an answer, Ctrl-D the conversation."""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import aclosing

from baton.cli.asking import asking_of, explained, summary
from baton.client import Chat, Client, Delta, Done, Message
from common.types.config import AskConfig
from common.types.errors import BatonError
from common.types.resolve import load


def run(argv: Sequence[str]) -> int:
    config = load(AskConfig, "baton chat", argv)
    turns = [Message("system", config.system)] if config.system else []
    with asyncio.Runner() as runner:
        client = runner.run(_open(config))
        try:
            _converse(runner, client, config, turns)
        finally:
            runner.run(client.close())
    return 0


def _converse(runner: asyncio.Runner, client: Client, config: AskConfig, turns: list[Message]) -> None:
    """Turn by turn until the input ends. What failed is told and forgotten, so that it can be asked again."""
    first = config.prompt
    while (said := first or _read()) is not None:
        first = ""
        if not said.strip():
            continue
        asked = [*turns, Message("user", said)]
        answer: list[str] = []
        try:
            runner.run(_answer(client, config, asked, answer))
        except BatonError as error:
            print(f"\n{error}", file=sys.stderr)
            continue
        except KeyboardInterrupt:
            print()
        turns[:] = [*asked, Message("assistant", "".join(answer))]


def _read() -> str | None:
    try:
        return input("> " if sys.stdin.isatty() else "")
    except (EOFError, KeyboardInterrupt):
        print()
        return None


async def _open(config: AskConfig) -> Client:
    return Client(config.grpc, deadline_s=config.deadline_s)


async def _answer(client: Client, config: AskConfig, turns: list[Message], answer: list[str]) -> None:
    async with aclosing(client.generate(Chat(tuple(turns)), **asking_of(config))) as events:
        async for event in events:
            if isinstance(event, Delta):
                answer.append(event.text)
                print(event.text, end="", flush=True)
            elif isinstance(event, Done):
                print()
                print(*explained(event), summary(event), sep="\n", file=sys.stderr)
