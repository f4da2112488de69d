"""A living fleet's figures: the router's scrape and a worker's own say the same of it."""

import asyncio
import urllib.request

from common.types.config import RouterConfig, WorkerConfig
from tests.system.cluster import cluster
from tests.tiny import tiny_model


def get(address: str) -> dict[str, float]:
    """Every line of a scrape, by name and labels."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=20) as answer:
        lines = [line for line in answer.read().decode().splitlines() if not line.startswith("#")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


async def test_what_an_answer_leaves_in_the_figures() -> None:
    worker = WorkerConfig(model="", num_blocks=128, token_budget=128, metrics="127.0.0.1:0")
    router = RouterConfig(model="", mode="handoff")
    async with cluster(tiny_model("llama"), worker=worker, router=router) as fleet:
        await fleet.client.complete(list(range(5, 95)), temperature=0.0, max_tokens=8, ignore_eos=True)
        await fleet.settled()
        ports = [each.metrics.port for each in fleet.workers if each.metrics is not None]
        prefill, decode = [await asyncio.to_thread(get, f"127.0.0.1:{port}") for port in ports]
        whole = await asyncio.to_thread(get, fleet.router.http_address)
    assert prefill['baton_member_prompt_tokens_total{member="prefill-0",role="prefill"}'] == 90
    assert decode['baton_member_output_tokens_total{member="decode-0",role="decode"}'] >= 7
    inside, outside = (
        decode[f'baton_member_step_seconds_total{{member="decode-0",role="decode",where="{where}"}}']
        for where in ("kernels", "outside")
    )
    assert inside > 0
    assert outside > 0
    fetched = decode['baton_member_fetch_bytes_total{member="decode-0",role="decode",transport="shm"}']
    assert fetched == whole['baton_handoff_bytes_total{transport="shm"}'] > 0
    assert whole["baton_output_tokens_total"] == 8
    assert whole['baton_member_draining{member="decode-0",role="decode"}'] == 0
