"""`baton generate`: goes on from a text. The answer goes to stdout as it comes, all else to stderr."""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import aclosing

from baton.cli.asking import asking_of, explained, summary
from baton.client import Client, Delta, Done
from common.types.config import AskConfig
from common.types.options import ConfigError
from common.types.resolve import load


def run(argv: Sequence[str]) -> int:
    config = load(AskConfig, "baton generate", argv)
    prompt = config.prompt
    if not prompt:
        if sys.stdin.isatty():
            raise ConfigError("There is no prompt", "Give it in quotes, or pipe it in")
        prompt = sys.stdin.read()
    asyncio.run(_generate(config, prompt))
    return 0


async def _generate(config: AskConfig, prompt: str) -> None:
    client = Client(config.grpc, api_key=config.api_key, tls_ca=config.tls_ca, deadline_s=config.deadline_s)
    inside_line = False
    try:
        async with client, aclosing(client.generate(prompt, **asking_of(config))) as events:
            async for event in events:
                if isinstance(event, Delta):
                    inside_line = True
                    print(event.text, end="", flush=True)
                elif isinstance(event, Done):
                    inside_line = False
                    print(flush=True)
                    print(*explained(event), summary(event), sep="\n", file=sys.stderr)
    finally:
        if inside_line:
            print(flush=True)
