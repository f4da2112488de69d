"""`baton chat`: a conversation. Ctrl-C ends an answer, Ctrl-D the conversation, and `/new` begins another.

The answers go to stdout; all else, also what a model thinks, to stderr. What was said so far goes along with each
question.
"""

import asyncio
import contextlib
import sys
from collections.abc import Sequence
from contextlib import aclosing

from baton.cli.asking import asking_of, explained, summary
from baton.client import Chat, Client, Delta, Done, Message, Reasoning
from common.types.config import AskConfig
from common.types.errors import BatonError
from common.types.resolve import load

NEW = "/new"
DIM, PLAIN = "\x1b[2m", "\x1b[0m"


def run(argv: Sequence[str]) -> int:
    config = load(AskConfig, "baton chat", argv)
    if sys.stdin.isatty():
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  (from now on the arrow keys edit a line and bring back earlier ones)
        _aside(f"Ctrl-C ends an answer, Ctrl-D the conversation; {NEW} begins another.")
    with asyncio.Runner() as runner:
        client = runner.run(_open(config))
        try:
            _converse(runner, client, config)
        finally:
            runner.run(client.close())
    return 0


def _converse(runner: asyncio.Runner, client: Client, config: AskConfig) -> None:
    """Turn by turn until the input ends. What failed is told and forgotten, so that it can be asked again."""
    beginning = [Message("system", config.system)] if config.system else []
    turns, first = [*beginning], config.prompt
    while (said := first or _read()) is not None:
        first = ""
        if not said.strip():
            continue
        if said.strip() == NEW:
            turns[:] = beginning
            continue
        asked = [*turns, Message("user", said)]
        answer: list[str] = []
        try:
            runner.run(_answer(client, config, asked, answer))
        except BatonError as error:
            print(f"\n{error}", file=sys.stderr)
            continue
        except KeyboardInterrupt:
            print(flush=True)
            _aside("(ended)")
        turns[:] = [*asked, Message("assistant", "".join(answer))]


def _read() -> str | None:
    """A line, or None at the input's end. Ctrl-C forgets a half-written one."""
    while True:
        try:
            return input("> " if sys.stdin.isatty() else "")
        except EOFError:
            print()
            return None
        except KeyboardInterrupt:
            print()
            if not sys.stdin.isatty():
                return None
            _aside("Ctrl-D ends the conversation.")


async def _open(config: AskConfig) -> Client:
    return Client(config.grpc, api_key=config.api_key, tls_ca=config.tls_ca, deadline_s=config.deadline_s)


async def _answer(client: Client, config: AskConfig, turns: list[Message], answer: list[str]) -> None:
    thinks = False
    async with aclosing(client.generate(Chat(tuple(turns)), **asking_of(config))) as events:
        async for event in events:
            if isinstance(event, Delta):
                if event.text and thinks:
                    thinks = False
                    _aside("")
                answer.append(event.text)
                print(event.text, end="", flush=True)
                thought = "".join(part.text for part in event.parts if isinstance(part, Reasoning))
                if thought:
                    thinks = True
                    _aside(thought, end="")
            elif isinstance(event, Done):
                print(flush=True)
                _aside(*explained(event), summary(event))


def _aside(*lines: str, end: str = "\n") -> None:
    """Beside the conversation: paler, where there is colour."""
    pale = sys.stderr.isatty()
    for line in lines:
        print(f"{DIM}{line}{PLAIN}" if pale else line, end=end, file=sys.stderr, flush=True)
