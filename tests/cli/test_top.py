"""The fleet's page, and where it comes from."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from baton.cli.glance import BAR_CELLS, bar, glance, sparkline
from tests.cli.command import baton

MEMBER: dict[str, Any] = {
    "name": "decode-0",
    "role": "decode",
    "state": "serving",
    "running": 3,
    "waiting": 1,
    "max_sequences": 64,
    "blocks": {"total": 256, "free": 100, "cached": 90, "owned": 60, "sealed": 4, "quarantined": 2},
    "step_ms": 7.25,
    "prefill_tokens_per_s": 0.0,
    "fetch_bytes_per_s": 2_500_000_000,
    "prefix_hit_share": 0.25,
}
SEEN: dict[str, Any] = {
    "model": "demo",
    "ready": True,
    "all_advice": [{"urgency": "short", "text": "decode-bound: KV 98 %, add decode"}],
    "requests": {"running": 3, "waiting": 1, "ended": {"answered": 7, "failed": 1}, "retries": 2},
    "rates": {"prompt_tokens_per_s": 1234.0, "output_tokens_per_s": 567.0, "handoff_bytes_per_s": 1e6},
    "latency": {"ttft_ms": {"count": 7, "p50": 12.34, "p90": 99.0, "p99": 1500.0}},
    "history": {"output_tokens_per_s": [0.0, 100.0, 200.0, None], "handoff_bytes_per_s": []},
    "members": [MEMBER],
}


def shown(seen: dict[str, Any]) -> str:
    console = Console(width=140, record=True, file=None, quiet=True)
    with console.capture() as captured:
        console.quiet = False
        console.print(glance(seen))
    return captured.get()


def test_a_page_has_the_advice_the_speeds_the_waits_and_every_member() -> None:
    text = shown(SEEN)
    assert "3 running, 1 waiting, 8 ended, 2 tried again" in text
    assert "decode-bound: KV 98 %, add decode" in text
    assert "567 tokens/s" in text
    assert "12.3 ms" in text
    assert "1.50 s" in text
    (line,) = [line for line in text.splitlines() if line.startswith("decode-0")]
    assert line.split()[1:4] == ["serving", "3/64", "1"]
    assert "64/256" in line
    assert line.split()[-2:] == ["GB/s", "25%"]


def test_what_a_router_does_not_say_is_a_dash() -> None:
    text = shown({"members": [{"role": "prefill"}]})
    assert "not serving" in text
    assert "none" in text  # no decode member


def test_a_bar_shows_whatever_is_there_at_all() -> None:
    assert bar(0, 0, 0, 256).plain == "·" * BAR_CELLS
    assert bar(1, 0, 0, 100_000).plain.startswith("█·")
    assert bar(256, 0, 0, 256).plain == "█" * BAR_CELLS
    assert len(bar(200, 100, 100, 256).plain) == BAR_CELLS
    assert bar(5, 5, 5, 0).plain == "·" * BAR_CELLS


def test_a_sparkline_is_as_high_as_its_highest() -> None:
    assert sparkline([0, 5, 10]).plain == " ▄█"
    assert sparkline([]).plain == ""
    assert sparkline([0, 0]).plain == "  "


@asynccontextmanager
async def answering(status: str, content: str) -> AsyncGenerator[tuple[str, list[bytes]]]:
    """An HTTP server with one answer for everything, and what it was asked."""
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        body = content.encode()
        writer.write(f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield f"127.0.0.1:{port}", asked


async def test_where_there_is_no_terminal_one_page_is_printed() -> None:
    async with answering("200 OK", json.dumps(SEEN)) as (target, asked):
        ran = await baton("top", "--http", target, "--api-key", "secret")
    assert ran.code == 0
    assert "decode-0" in ran.out
    assert b"GET /fleet " in asked[0]
    assert b"bearer secret" in asked[0].lower()


async def test_a_router_that_wants_a_key_says_so() -> None:
    async with answering("401 Unauthorized", "") as (target, _):
        ran = await baton("top", "--http", target)
    assert ran.code == 1
    assert ran.err == "baton top: the router asks for an admin key: --api-key, or BATON_API_KEY\n"


async def test_what_is_no_router_is_said() -> None:
    async with answering("200 OK", "<html>") as (target, _):
        ran = await baton("top", "--http", target)
    assert (ran.code, ran.out) == (1, "")
    assert "is no router" in ran.err
    async with answering("404 Not Found", "") as (target, _):
        ran = await baton("top", "--http", target)
    assert "has no fleet to show (HTTP 404)" in ran.err


async def test_nobody_there() -> None:
    ran = await baton("top", "--http", "127.0.0.1:1")
    assert ran.code == 1
    assert ran.err.startswith("baton top: 127.0.0.1:1 cannot be reached. Start a fleet with `baton up`")


async def test_an_authority_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    ran = await baton("top", "--tls-ca", str(tmp_path / "none.pem"))
    assert ran.code == 1
    assert "none.pem holds no certificates that can be read. Check --tls-ca" in ran.err
