"""What an operator sees of a living fleet."""

import json
import time
from pathlib import Path
from typing import Any

from common.types.member import Load, StepTotals
from router.overview import HISTORY_S, STEP_S, overview
from router.situation import point
from tests.router.rig import Rig, rig

FULL = Load(
    num_free_blocks=6,
    num_owned_blocks=250,
    num_running=3,
    steps=StepTotals(num_steps=4, kernel_s=0.9, other_s=0.1, num_queried_tokens=8, num_hit_tokens=2),
)


def shown(fleet: Rig) -> dict[str, Any]:
    """As it arrives at a reader: through JSON."""
    now = time.monotonic()
    seen: dict[str, Any] = json.loads(json.dumps(overview(fleet.router.serving, fleet.router.fleet, now)))
    return seen


async def test_an_empty_fleet_is_told_what_it_lacks(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        seen = shown(fleet)
        assert seen["advice"] == "down: no decode member takes work, start or resume one"
        assert (seen["members"], seen["ready"]) == ([], False)
        assert seen["latency"]["ttft_ms"] == {"count": 0, "p50": None, "p90": None, "p99": None}


async def test_a_full_member_is_seen_and_advised_on(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        await fleet.prefill()
        await fleet.decode()
        await fleet.report("d0", FULL)
        seen = shown(fleet)
        assert seen["advice"] == "decode-bound: KV 98 %, add decode"
        (member,) = [each for each in seen["members"] if each["role"] == "decode"]
        assert (member["name"], member["state"], member["running"]) == ("d0", "serving", 3)
        assert member["blocks"]["owned"] == 250
        assert sum(count for state, count in member["blocks"].items() if state != "total") == member["blocks"]["total"]
        assert (member["outside_kernels_share"], member["prefix_hit_share"]) == (0.1, 0.25)
        assert "127.0.0.1" not in json.dumps(seen), "no address is shown"


async def test_answers_show_in_percentiles_rates_and_history(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        await fleet.prefill()
        await fleet.decode()
        await fleet.reply("hello", max_tokens=5)
        serving = fleet.router.serving
        serving.history.record(point(serving, fleet.router.fleet, time.monotonic()))
        seen = shown(fleet)
        assert seen["requests"]["ended"] == {"answered": 1}
        assert seen["latency"]["ttft_ms"]["count"] == 1
        assert 0 < seen["latency"]["ttft_ms"]["p50"] <= seen["latency"]["e2e_ms"]["p99"]
        assert seen["rates"]["output_tokens_per_s"] > 0
        assert seen["handoffs"]["shm"]["count"] == 1
        lengths = {len(series) for name, series in seen["history"].items() if name != "step_s"}
        assert lengths == {HISTORY_S // STEP_S}
        assert seen["history"]["ttft_p50_ms"][-1] is not None


async def test_a_draining_member_takes_no_work_and_is_said_to(tmp_path: Path) -> None:
    async with rig(tmp_path) as fleet:
        await fleet.prefill()
        await fleet.decode()
        fleet.router.fleet.drain("p0", leave=False)
        seen = shown(fleet)
        assert [each["state"] for each in seen["members"]] == ["serving", "draining"]
        assert seen["pools"]["prefill"]["members"] == 0
        assert seen["advice"].startswith("no prefill member takes work")
