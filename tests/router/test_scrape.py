"""What a scrape of a living router shows: every listed name, true figures, and nothing of members that left."""

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from baton.v1 import decode_pb2
from common.obs.exposition import render
from common.obs.metrics import BY_NAME, METRICS
from common.types.member import Carried, DeviceLoad, FetchTotals, Load, StepTotals
from router.scrape import scrape
from tests.router.rig import Rig, failure, next_of, read, rig

Series = dict[str, dict[tuple[str, ...], float]]
LOAD = Load(
    num_free_blocks=64,
    num_owned_blocks=128,
    num_cached_blocks=64,
    steps=StepTotals(num_steps=5, kernel_s=0.75, other_s=0.25, num_output_tokens=9),
    fetches=FetchTotals((Carried("shm", 2, 4096, 0.5),), num_checksum_failures=1),
    device=DeviceLoad(3 << 30, 16 << 30, 0.5, 2),
)


def shown(fleet: Rig) -> Series:
    """Values by sample name and labels, those in the order of the list."""
    text, _ = render(scrape(fleet.router.serving, fleet.router.fleet))
    found: Series = {}
    for family in text_string_to_metric_families(text.decode()):
        metric = BY_NAME.get(family.name) or BY_NAME[f"{family.name}_total"]
        for sample in family.samples:
            labels = tuple(sample.labels[name] for name in metric.labels)
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


async def busy(fleet: Rig) -> None:
    """A fleet that has seen everything there is to count."""
    await fleet.prefill()
    decode = await fleet.decode()
    await fleet.report("d0", LOAD)
    await fleet.reply("hello", max_tokens=5)
    await failure(fleet.generate(max_tokens=0))
    decode.service.fail_kind = decode_pb2.FAILURE_KIND_INTERNAL
    await failure(fleet.generate(max_tokens=4))


def names_of(metric: str) -> str:
    """The name of the samples that only this metric has."""
    return metric if metric.endswith("_total") or BY_NAME[metric].kind.value == "gauge" else f"{metric}_count"


async def test_a_scrape_shows_every_listed_name_and_no_other(tmp_path: Path) -> None:
    async with rig(tmp_path, max_attempts=2) as fleet:
        await busy(fleet)
        found = shown(fleet)
        assert [metric.name for metric in METRICS if names_of(metric.name) not in found] == []
        listed = {metric.name + ending for metric in METRICS for ending in ("", "_bucket", "_count", "_sum")}
        assert sorted(found.keys() - listed) == []


async def test_requests_are_counted_by_how_they_ended(tmp_path: Path) -> None:
    async with rig(tmp_path, max_attempts=2) as fleet:
        await busy(fleet)
        found = shown(fleet)
        assert found["baton_requests_admitted_total"][()] == 2
        assert found["baton_requests_refused_total"][("invalid",)] == 1
        ended = found["baton_requests_ended_total"]
        assert (ended[("answered",)], ended[("failed",)], ended[("cancelled",)]) == (1, 1, 0)
        assert found["baton_request_errors_total"][("request", "INVALID_ARGUMENT")] == 1
        assert found["baton_leg_failures_total"][("decode", "internal")] == 2
        assert found["baton_retries_total"][("decode",)] == 1
        assert found["baton_attempts_total"][("handoff",)] == 3
        assert found["baton_prompt_tokens_total"][()] == 10
        assert (found["baton_requests_waiting"][()], found["baton_requests_running"][()]) == (0, 0)


async def test_times_are_counted_once_a_request_and_once_a_step(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        await fleet.prefill()
        await fleet.decode()
        await fleet.reply("hello", max_tokens=5, n=2)
        found = shown(fleet)
        assert found["baton_output_tokens_total"][()] == 10
        assert found["baton_ttft_seconds_count"][()] == found["baton_e2e_seconds_count"][()] == 1
        assert found["baton_tpot_seconds_count"][()] == 1
        assert 1 <= found["baton_itl_seconds_count"][()] <= 4
        assert found["baton_handoffs_total"][("shm",)] == 1
        legs = found["baton_leg_seconds_count"]
        assert sorted(leg for (leg,) in legs) == ["decode", "handoff", "prefill", "queue"]
        assert found["vllm:generation_tokens_total"][("tiny",)] == 10
        assert found["vllm:time_to_first_token_seconds_count"][("tiny",)] == 1


async def test_a_request_waits_then_runs_and_a_cancelled_one_is_told_apart(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        prefill, decode = await fleet.prefill(), await fleet.decode()
        prefill.script.hold("first")
        decode.script.hold("token 2")
        call = fleet.generate(max_tokens=8)
        await prefill.script.saw("first")
        found = shown(fleet)
        assert (found["baton_requests_waiting"][()], found["baton_requests_running"][()]) == (1, 0)
        assert found["baton_queue_tokens"][()] == 5
        prefill.script.release("first")
        await next_of(call)
        await next_of(call)
        found = shown(fleet)
        assert (found["vllm:num_requests_waiting"][("tiny",)], found["vllm:num_requests_running"][("tiny",)]) == (0, 1)
        call.cancel()
        await fleet.router.serving.idle.wait()
        assert shown(fleet)["baton_requests_ended_total"][("cancelled",)] == 1
        decode.script.release("token 2")


async def test_what_goes_on_after_delivered_tokens_is_a_continuation(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        await fleet.prefill()
        first = await fleet.decode("d0")
        first.script.hold("token 2")
        call = fleet.generate(max_tokens=5)
        await first.script.saw("token 2")
        await fleet.decode("d1")
        await first.member.die()
        assert (await read(call)).texts == {0: "abcde"}
        found = shown(fleet)
        assert found["baton_continuations_total"][()] == 1
        assert found["baton_output_tokens_total"][()] == 5


async def test_members_are_shown_and_take_their_series_with_them(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        await fleet.prefill()
        decode = await fleet.decode()
        await fleet.report("d0", LOAD)
        found = shown(fleet)
        blocks = found["baton_member_blocks"]
        assert (blocks[("d0", "decode", "owned")], blocks[("d0", "decode", "free")]) == (128, 64)
        seconds = found["baton_member_step_seconds_total"]
        assert (seconds[("d0", "decode", "kernels")], seconds[("d0", "decode", "outside")]) == (0.75, 0.25)
        assert found["baton_member_fetch_bytes_total"][("d0", "decode", "shm")] == 4096
        assert found["baton_member_fetch_failures_total"][("d0", "decode", "checksum")] == 1
        assert found["baton_members"][("decode", "serving")] == 1
        assert found["vllm:kv_cache_usage_perc"][("tiny",)] == 0.5
        await decode.member.die()
        await fleet.until(lambda: len(fleet.router.fleet.members()) == 1)
        found = shown(fleet)
        assert not any("d0" in labels for series in found.values() for labels in series)
        assert found["baton_members"][("decode", "serving")] == 0
