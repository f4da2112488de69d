"""One prompt through two pools."""

import pytest

from tests.system.cluster import cluster
from tests.tiny import NAMES, reference_greedy, tiny_model


@pytest.mark.parametrize("name", NAMES)
async def test_greedy_equals_the_reference(name: str) -> None:
    model = tiny_model(name)
    prompts = [list(range(5, 5 + length)) for length in (1, 7, 16, 33, 120)]
    async with cluster(model) as fleet:
        for prompt in prompts:
            completion = await fleet.client.complete(prompt, temperature=0.0, max_tokens=12, ignore_eos=True)
            assert list(completion.answers[0].token_ids) == reference_greedy(model, prompt, 12)
