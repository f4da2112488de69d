"""`baton top`: the fleet, live in a terminal, until Ctrl-C; one page of it when the output is no terminal.

Asks a router's `/fleet` over HTTP, as the dashboard does. Owns the asking; what it looks like is `glance.py`'s.
"""

import asyncio
import http.client
import json
import ssl
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from baton.cli.glance import glance
from baton.client import Unreachable
from common.net.server import split_address
from common.types.config_top import TopConfig
from common.types.errors import BatonError, StartupError
from common.types.resolve import load

PATIENCE_S = 5.0
WIDTH = 120


def run(argv: Sequence[str]) -> int:
    config = load(TopConfig, "baton top", argv)
    if config.once or not sys.stdout.isatty():
        console = Console(width=None if sys.stdout.isatty() else WIDTH)
        console.print(glance(ask(config)))
        return 0
    asyncio.run(_watch(config, Console()))
    return 0


async def _watch(config: TopConfig, console: Console) -> None:
    """A router that is away is said so and asked again: top stays while a fleet is started anew."""
    with Live(Text("asking ..."), console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(await asyncio.to_thread(_shown, config), refresh=True)
            await asyncio.sleep(config.interval_s)


def _shown(config: TopConfig) -> RenderableType:
    try:
        return glance(ask(config))
    except BatonError as error:
        return Text(f"{error}; asking again", "yellow")


def _connection(config: TopConfig) -> http.client.HTTPConnection:
    host, port = split_address(config.http)
    if not config.tls_ca:
        return http.client.HTTPConnection(host, port, timeout=PATIENCE_S)
    try:
        trusted = ssl.create_default_context(cafile=None if config.tls_ca == "system" else config.tls_ca)
    except OSError as error:
        raise StartupError(f"{config.tls_ca} holds no certificates that can be read", "Check --tls-ca") from error
    return http.client.HTTPSConnection(host, port, timeout=PATIENCE_S, context=trusted)


def ask(config: TopConfig) -> dict[str, Any]:
    """What the router says of its fleet."""
    connection = _connection(config)
    try:
        connection.request(
            "GET", "/fleet", headers={"authorization": f"Bearer {config.api_key}"} if config.api_key else {}
        )
        answer = connection.getresponse()
        content = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"{config.http} cannot be reached", "top") from error
    finally:
        connection.close()
    if answer.status in (401, 403):
        raise BatonError("the router asks for an admin key: --api-key, or BATON_API_KEY")
    if answer.status != 200:
        raise BatonError(f"{config.http} has no fleet to show (HTTP {answer.status})")
    try:
        seen = json.loads(content)
    except ValueError as error:
        raise BatonError(f"{config.http} is no router: what it says is not JSON") from error
    return dict(seen)
