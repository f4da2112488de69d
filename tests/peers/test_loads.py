"""The loads: which benches they ask for, and what they make of the results. The bench itself is a stand-in here."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from loadtest.peers import loads
from loadtest.peers.command import Failed
from loadtest.peers.journal import Sample
from loadtest.peers.loads import QUICK, WHOLE, Sizes
from loadtest.peers.server import Server

SERVER = Server("fake", (), "127.0.0.1:1", 1.0)


class FakeBench:
    """Answers every load with requests of the wanted lengths, a token every `itl_s`; remembers what was asked."""

    def __init__(self, itl_s: float = 0.01, ttft_s: float = 0.1) -> None:
        self.itl_s, self.ttft_s = itl_s, ttft_s
        self.asked: list[dict[str, Any]] = []
        self.most, self.fails_at = 1.5, "never"
        self.hold = asyncio.Event()
        self.arriving = asyncio.Event()

    async def __call__(
        self, server: Server, limit_s: float, environment: object, **options: Any
    ) -> list[dict[str, Any]]:
        assert limit_s > 0
        self.asked.append(options)
        if options.get("rate") == QUICK.arrival_rate:
            self.arriving.set()
            await self.hold.wait()
        if self.fails_at == options.get("rate", ""):
            raise Failed("too much")
        return [self._result(options)]

    def _result(self, options: dict[str, Any]) -> dict[str, Any]:
        count, length = int(options.get("requests", 2)), int(options["output_tokens"])
        made = {
            "failed": 0,
            "start_times": [0.0] * count,
            "ttfts": [self.ttft_s] * count,
            "itls": [[self.itl_s] * (length - 1)] * count,
            "input_lens": [int(options["input_tokens"])] * count,
            "output_lens": [length] * count,
            "errors": [""] * count,
            "request_goodput": min(self.most, float(options.get("rate", 1))),
            "good_requests": 100 * min(1.0, self.most / float(options.get("rate", 1))),
            "num_prompts": 100,
        }
        return made | dict.fromkeys(("p50_ttft_ms", "p99_ttft_ms", "p50_tpot_ms", "p99_itl_ms"), 7.0)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> FakeBench:
    fake = FakeBench()
    monkeypatch.setattr(loads, "bench", fake)
    monkeypatch.setattr(loads, "HEAD_START_S", 0.0)
    return fake


async def test_decoding_is_measured_at_each_batch(bench: FakeBench) -> None:
    samples = [sample async for sample in loads.decoding(SERVER, "baton", 0, WHOLE)]
    by_case = {sample.case: sample.value for sample in samples}
    assert by_case == pytest.approx(
        {"decode B=1 served": 100.0, "decode B=8 served": 800.0, "decode B=32 served": 3200.0}
    )
    measured = bench.asked[1:]
    assert [asked["concurrency"] for asked in measured] == [1] * 2 + [8] * 2 + [32]
    assert all(asked["requests"] == asked["concurrency"] for asked in measured)


async def test_prompts_are_measured_at_each_length(bench: FakeBench) -> None:
    samples = [sample async for sample in loads.prefilling(SERVER, "vllm", 1, WHOLE)]
    assert [(sample.case, round(sample.value)) for sample in samples] == [
        ("prefill 512 served", 5120),
        ("prefill 2048 served", 20480),
    ]


async def hear(samples: AsyncIterator[Sample], told: list[Sample]) -> None:
    async for sample in samples:
        told.append(sample)


def kept(samples: list[Sample]) -> list[tuple[str, float]]:
    return [(sample.case, sample.value) for sample in samples if sample.unit == "requests/s"]


async def goals(sizes: Sizes) -> list[Sample]:
    return [sample async for sample in loads.keeping_goals(SERVER, "vllm", 0, sizes)]


async def test_goals_are_kept_or_not_at_each_rate(bench: FakeBench) -> None:
    bench.most = 1.5
    samples = await goals(WHOLE)
    assert [(asked["rate"], asked["goodput"]) for asked in bench.asked] == [
        (rate, "ttft:1000,tpot:60") for rate in "123"
    ]
    told = [("goodput at 1/s", 1.0), ("goodput at 2/s", 1.5), ("goodput at 3/s", 1.5), ("best goodput", 1.5)]
    assert kept(samples) == told


async def test_who_keeps_up_at_the_highest_rate_goes_on(bench: FakeBench) -> None:
    bench.most = 4.2
    samples = await goals(replace(WHOLE, rates=(2.5,)))
    assert [asked["rate"] for asked in bench.asked] == ["2.5", "3.5", "4.5", "5.5"]
    assert kept(samples)[-1] == ("best goodput", 4.2)
    assert [asked["warm_up"] for asked in bench.asked] == [3, 0, 0, 0]


async def test_nobody_goes_on_for_ever(bench: FakeBench) -> None:
    bench.most = 1e9
    await goals(WHOLE)
    assert bench.asked[-1]["rate"] == "6"


async def test_a_rate_that_fails_leaves_the_best_before_it(bench: FakeBench) -> None:
    bench.most, bench.fails_at = 1.5, "3"
    told: list[Sample] = []
    with pytest.raises(Failed):
        await hear(loads.keeping_goals(SERVER, "vllm", 0, WHOLE), told)
    assert kept(told) == [("goodput at 1/s", 1.0), ("goodput at 2/s", 1.5), ("best goodput", 1.5)]


async def test_streams_are_compared_with_themselves(bench: FakeBench) -> None:
    samples = [sample async for sample in loads.undisturbed(SERVER, "baton", 0, QUICK)]
    assert {sample.case: round(sample.value, 6) for sample in samples} == {
        "ITL idle p50, gRPC": 10.0,
        "ITL busy p99, gRPC": 10.0,
        "ITL busy / idle, gRPC": 1.0,
    }
    assert bench.arriving.is_set()


async def test_streams_that_were_left_alone_say_nothing(bench: FakeBench) -> None:
    bench.hold.set()
    told: list[Sample] = []
    with pytest.raises(ValueError, match="ceased to arrive"):
        await hear(loads.undisturbed(SERVER, "baton", 0, QUICK), told)
    assert [sample.case for sample in told] == ["ITL idle p50, gRPC"]


async def test_streams_are_watched_in_rounds_that_share_no_prompt(bench: FakeBench) -> None:
    server = replace(SERVER, target="http://127.0.0.1:1")
    samples = [sample async for sample in loads.undisturbed(server, "vllm", 0, replace(QUICK, stream_rounds=3))]
    assert [sample.case for sample in samples].count("ITL busy / idle, HTTP") == 3
    seeds = [asked["seed"] for asked in bench.asked]
    assert len(set(seeds)) == len(seeds) == 9


async def test_both_sides_get_the_same_prompts_and_no_two_loads_of_a_turn_do(bench: FakeBench) -> None:
    seeds: dict[str, list[int]] = {}
    for side in ("baton", "vllm"):
        bench.asked.clear()
        for measure in (loads.decoding, loads.prefilling, loads.keeping_goals):
            async for _ in measure(SERVER, side, 1, WHOLE):
                continue
        seeds[side] = [asked["seed"] for asked in bench.asked]
    assert seeds["baton"] == seeds["vllm"]
    assert len(set(seeds["baton"])) == len(seeds["baton"])


async def test_random_ids_stay_inside_the_models_vocabulary(bench: FakeBench) -> None:
    async for _ in loads.prefilling(SERVER, "baton", 0, replace(QUICK, vocab=4096)):
        continue
    assert {asked["vocab_size"] for asked in bench.asked} == {4096}
