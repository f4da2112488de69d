"""Through the whole system: greedy tokens and log probabilities equal transformers', whatever the way they came.

Every case is another mix of model, block size, chunk size, pool sizes, transport, mode and batch; each prompt goes
through twice, so that the second time finds prefixes.
"""

import asyncio
import itertools
from dataclasses import dataclass

import pytest

from baton.client import Completion
from common.types.config import RouterConfig, WorkerConfig
from tests.system.cluster import Cluster, cluster
from tests.tiny import NAMES, reference_greedy, reference_logits, tiny_model

NUM_TOKENS = 10
BLOCKS = (4, 8, 16, 5, 64, 32)
POOLS = ((1, 1), (2, 1), (1, 2), (2, 2))
TRANSPORTS = (("shm",), ("tcp",), ("shm", "tcp"))
MODES = ("handoff", "local", "handoff", "auto")
BATCHES = (1, 5, 12, 32)


@dataclass(frozen=True)
class Case:
    """One way through the system."""

    model: str
    block_tokens: int
    token_budget: int
    prefill: int
    decode: int
    transports: tuple[str, ...]
    mode: str
    batch: int

    def __str__(self) -> str:
        pools = f"{self.prefill}p{self.decode}d"
        steps = f"{self.block_tokens}x{self.token_budget}"
        return f"{self.model}-{steps}-{pools}-{self.mode}-{self.transports[0]}-{self.batch}"


def cases() -> list[Case]:
    """Lists of different lengths, walked in step: no two dimensions always meet in the same pairs."""
    made = []
    for number, model in enumerate((*NAMES, *NAMES[::2])):
        block_tokens = BLOCKS[number % len(BLOCKS)]
        prefill, decode = POOLS[number // 2 % len(POOLS)]
        budget = block_tokens * (1, 2, 5, 40)[number % 4]
        transports, mode = TRANSPORTS[number % 3], MODES[number % 4]
        made.append(Case(model, block_tokens, budget, prefill, decode, transports, mode, BATCHES[number // 3 % 4]))
    return made


def prompts(batch: int) -> list[list[int]]:
    """Mixed lengths from one token to many blocks; half of them share a beginning."""
    lengths = itertools.islice(itertools.cycle((1, 33, 7, 150, 16, 64, 2, 90)), batch)
    return [
        [3 + (place % 2 * number + 7 * place) % 490 for place in range(length)] for number, length in enumerate(lengths)
    ]


async def ask(fleet: Cluster, prompt: list[int]) -> Completion:
    return await fleet.client.complete(prompt, temperature=0.0, max_tokens=NUM_TOKENS, ignore_eos=True)


@pytest.mark.parametrize("case", cases(), ids=str)
async def test_greedy_tokens_equal_the_reference(case: Case) -> None:
    model = tiny_model(case.model)
    worker = WorkerConfig(
        model="",
        num_blocks=-(-8192 // case.block_tokens),
        block_tokens=case.block_tokens,
        token_budget=case.token_budget,
        max_sequences=min(32, case.token_budget - 1),
        transports=case.transports,
    )
    router = RouterConfig(model="", mode=case.mode)
    asked = prompts(case.batch)
    expected = [reference_greedy(model, prompt, NUM_TOKENS) for prompt in asked]
    async with cluster(model, prefill=case.prefill, decode=case.decode, worker=worker, router=router) as fleet:
        for _ in range(2):
            got = await asyncio.gather(*(ask(fleet, prompt) for prompt in asked))
            assert [list(completion.answers[0].token_ids) for completion in got] == expected
            assert {completion.done.num_attempts for completion in got} == {1}


@pytest.mark.parametrize("mode", ["handoff", "local"])
@pytest.mark.parametrize("name", ["llama-rope3", "mistral-window", "qwen3"])
async def test_log_probabilities_equal_the_reference(name: str, mode: str) -> None:
    import torch

    model = tiny_model(name)
    prompt = prompts(4)[3]
    async with cluster(model, router=RouterConfig(model="", mode=mode)) as fleet:
        completion = await fleet.client.complete(
            prompt, temperature=0.0, max_tokens=NUM_TOKENS, ignore_eos=True, logprobs=5, prompt_logprobs=2
        )
    answer = completion.answers[0]
    scores = torch.log_softmax(reference_logits(model, [*prompt, *answer.token_ids]).float(), dim=-1)
    for place, (token, given) in enumerate(zip(answer.token_ids, answer.logprobs, strict=True), len(prompt) - 1):
        assert given.token_id == token
        assert given.logprob == pytest.approx(float(scores[place, token]), abs=1e-4)
        best = torch.topk(scores[place], 5)
        assert [alternative for alternative, _ in given.top] == best.indices.tolist()
        assert [logprob for _, logprob in given.top] == pytest.approx(best.values.tolist(), abs=1e-4)
    for place, (token, given) in enumerate(zip(prompt[1:], completion.prompt_logprobs, strict=True)):
        assert given.token_id == token
        assert given.logprob == pytest.approx(float(scores[place, token]), abs=1e-4)


async def test_a_seeded_sample_is_the_same_alone_batched_handed_over_and_local() -> None:
    model = tiny_model("qwen2")
    asked = prompts(8)
    seen: list[list[tuple[int, ...]]] = []
    for mode, together in (("handoff", False), ("handoff", True), ("local", True)):
        async with cluster(model, prefill=2, decode=2, router=RouterConfig(model="", mode=mode)) as fleet:

            async def draw(prompt: list[int], fleet: Cluster = fleet) -> list[tuple[int, ...]]:
                completion = await fleet.client.complete(
                    prompt, seed=7, temperature=0.9, top_p=0.95, top_k=40, presence_penalty=0.4, n=2, max_tokens=24
                )
                return [answer.token_ids for answer in completion.answers]

            if together:
                drawn = await asyncio.gather(*(draw(prompt) for prompt in asked))
            else:
                drawn = [await draw(prompt) for prompt in asked]
            seen.append([tokens for answers in drawn for tokens in answers])
    assert seen[0] == seen[1] == seen[2]
    assert len(set(seen[0])) == len(seen[0]), "answers of different prompts and choices differ"


async def test_a_second_ask_finds_its_prefix_in_both_pools() -> None:
    model = tiny_model("llama")
    prompt = prompts(4)[3]
    async with cluster(model, router=RouterConfig(model="", mode="handoff")) as fleet:
        first, second = await ask(fleet, prompt), await ask(fleet, prompt)
    assert first.done.usage.num_cached_tokens == 0
    assert second.done.usage.num_cached_tokens >= 128
    assert second.answers == first.answers
