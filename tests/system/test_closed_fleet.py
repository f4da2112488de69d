"""A fleet with every door closed: certificates between all members, TLS and keys for clients. It answers the same."""

from pathlib import Path

import pytest

from baton.client import Client
from common.types.access import Access
from common.types.config import RouterConfig, WorkerConfig
from common.types.errors import Unauthenticated
from common.types.keys import Key, digest_of, line_of
from tests.net.certificates import Authority
from tests.system.cluster import cluster
from tests.tiny import reference_greedy, tiny_model

SECRET = "shared by the whole fleet"
ADMIN = "an operator's"


@pytest.mark.parametrize("transport", ["shm", "tcp"])
async def test_an_answer_from_a_closed_fleet_equals_the_reference(tmp_path: Path, transport: str) -> None:
    ours = Authority(tmp_path / "tls")
    folder, front = ours.fleet(), ours.issue("front", "127.0.0.1")
    keys = tmp_path / "keys"
    keys.write_text(line_of(Key("root", digest_of(ADMIN), admin=True)) + "\n")
    access = Access(str(keys), str(front.cert), str(front.key), fleet_tls=folder)
    router = RouterConfig(model="", mode="handoff", cache_key=SECRET, access=access)
    worker = WorkerConfig(
        model="", num_blocks=128, token_budget=128, cache_key=SECRET, fleet_tls=folder, transports=(transport,)
    )
    model, prompt = tiny_model("llama"), list(range(5, 95))
    async with cluster(model, worker=worker, router=router) as fleet:
        address = fleet.router.grpc_address
        async with Client(address, api_key=ADMIN, tls_ca=str(ours.ca)) as client:
            completion = await client.complete(prompt, temperature=0.0, max_tokens=8, ignore_eos=True)
        assert list(completion.answers[0].token_ids) == reference_greedy(model, prompt, 8)
        assert fleet.router.serving.tally.handoffs[transport].num == 1
        async with Client(address, tls_ca=str(ours.ca)) as stranger:
            with pytest.raises(Unauthenticated):
                await stranger.complete(prompt, max_tokens=1)
