"""One answer and its client, phase by phase: who is told what, what is counted, and that nothing is left behind."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from common.types.http import HttpLimits
from tests.router.http.pair import Pair, pair
from tests.router.http.wire import ask, connected, post, stream
from tests.router.script import PATIENCE_S

PATH, CHAT = "/v1/completions", "/v1/chat/completions"
HI = [{"role": "user", "content": "hi"}]


async def settled(fleet: Pair) -> dict[str, int]:
    """How requests ended, once none is left; nothing may be held for anybody."""
    serving = fleet.rig.router.serving
    async with asyncio.timeout(PATIENCE_S):
        await serving.idle.wait()
    assert serving.admission.num_requests == serving.admission.num_held_tokens == 0
    assert fleet.room.num_bytes == 0
    return dict(serving.tally.ended)


def asked(path: str, **fields: Any) -> dict[str, Any]:
    return ({"messages": HI} if path == CHAT else {"prompt": "hi"}) | {"max_tokens": 4, "seed": 0} | fields


@pytest.mark.parametrize("path", [PATH, CHAT])
@pytest.mark.parametrize("streamed", [False, True])
async def test_who_leaves_after_the_last_word_has_been_answered(tmp_path: Path, path: str, streamed: bool) -> None:
    async with pair(tmp_path) as fleet:
        async with connected(fleet.address) as wire:
            await wire.post(path, **asked(path, stream=streamed))
            if streamed:
                await wire.head()
                assert [event async for event in wire.events()][-1] == "[DONE]"
            else:
                assert (await wire.answer()).status == 200
        assert await settled(fleet) == {"answered": 1}
        assert not fleet.decode.script.seen("cancelled")


@pytest.mark.parametrize("path", [PATH, CHAT])
async def test_who_leaves_between_two_tokens_costs_no_further_ones(tmp_path: Path, path: str) -> None:
    async with pair(tmp_path) as fleet:
        fleet.decode.script.hold("token 3")
        async with connected(fleet.address) as wire:
            await wire.post(path, **asked(path, stream=True, max_tokens=200))
            await wire.head()
            await fleet.decode.script.saw("token 3")
        assert await settled(fleet) == {"cancelled": 1}
        await fleet.decode.script.saw("cancelled")
        fleet.decode.script.release("token 3")
        assert fleet.rig.router.serving.tally.num_output_tokens <= 3


@pytest.mark.parametrize("half", [b'{"prompt": "hi", ', b""])
async def test_who_leaves_within_a_body_was_no_request(tmp_path: Path, half: bytes) -> None:
    async with pair(tmp_path) as fleet:
        async with connected(fleet.address) as wire:
            await wire.send("POST", PATH, content_type="application/json", content_length="100")
            wire.writer.write(half)
            async with asyncio.timeout(PATIENCE_S):
                while fleet.room.num_bytes < len(half):
                    await ask(fleet.address, "GET", "/health")
        async with asyncio.timeout(PATIENCE_S):
            while fleet.room.num_bytes:
                await ask(fleet.address, "GET", "/health")
        assert await settled(fleet) == {}


async def test_a_half_closed_connection_is_a_client_that_left(tmp_path: Path) -> None:
    """Nobody can tell the one that reads on from the one that is gone."""
    async with pair(tmp_path) as fleet, connected(fleet.address) as wire:
        fleet.prefill.script.hold("started")
        await wire.post(PATH, **asked(PATH))
        await fleet.prefill.script.saw("started")
        wire.writer.write_eof()
        assert await settled(fleet) == {"cancelled": 1}
        fleet.prefill.script.release("started")


async def test_many_come_and_go_and_the_next_is_served(tmp_path: Path) -> None:
    """Each leaves in another phase; all that is left of them are counts."""
    async with pair(tmp_path) as fleet:

        async def come_and_go(place: int) -> None:
            async with connected(fleet.address) as wire:
                await wire.post(PATH, **asked(PATH, stream=bool(place % 2), max_tokens=40))
                for _ in range(place % 7):
                    await asyncio.sleep(0.001)

        await asyncio.gather(*map(come_and_go, range(24)))
        ended = await settled(fleet)
        assert sum(ended.values()) <= 24
        assert "failed" not in ended
        answer = await post(fleet.address, PATH, **asked(PATH))
        assert answer.json["choices"][0]["text"] == "abcd"


@pytest.mark.parametrize("path", [PATH, CHAT])
async def test_usage_says_what_was_computed_whatever_is_shown(tmp_path: Path, path: str) -> None:
    """Tokens behind a stop string, and the last of it, are computed and counted; the whole and the stream agree."""
    async with pair(tmp_path) as fleet:
        fields = asked(path, n=2, stop=["c", "gh"], max_tokens=6, logprobs=True if path == CHAT else 0)
        whole = (await post(fleet.address, path, **fields)).json
        _, events = await stream(fleet.address, path, **fields, stream_options={"include_usage": True})
        (told,) = [event["usage"] for event in events[:-1] if event["usage"]]
        assert whole["usage"] == told | {"prompt_tokens_details": whole["usage"]["prompt_tokens_details"]}
        assert told["total_tokens"] == told["prompt_tokens"] + told["completion_tokens"]
        shown = 0
        for choice in whole["choices"]:
            lists = choice["logprobs"]
            shown += len(lists["content"] if path == CHAT else lists["tokens"])
        assert told["completion_tokens"] == shown == 3 + 5
        timings = whole["timings"]
        assert all(value >= 0 for value in timings.values())
        parts = timings["queue_ms"] + timings["prefill_ms"] + timings["handoff_ms"] + timings["decode_ms"]
        assert parts <= timings["total_ms"] + 0.01
        assert timings["ttft_ms"] <= timings["total_ms"]


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_stalled_reader_of_one_connection_is_nobody_elses(tmp_path: Path, streamed: bool) -> None:
    async with pair(tmp_path, HttpLimits(keep_alive_s=0.05)) as fleet:
        async with connected(fleet.address, 4096) as stuck:
            transport: Any = stuck.writer.transport
            transport.pause_reading()
            await stuck.post(PATH, **asked(PATH, stream=streamed, n=4, max_tokens=400, logprobs=5))
            await fleet.decode.script.saw("token 9")
            for _ in range(3):
                answer = await post(fleet.address, PATH, **asked(PATH))
                assert answer.json["choices"][0]["text"] == "abcd"
            transport.abort()
        assert (await settled(fleet))["answered"] >= 3
