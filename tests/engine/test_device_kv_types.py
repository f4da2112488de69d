"""KV kept in another type than the model computes in: engines on a device, the numbers they lose, and who refuses."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import pytest
import torch

from common.engine.boot import _check_kv
from common.engine.messages import Event, Join, Reserve, Reserved, Sealed, StepTokens, Submit, SubmitLocal
from common.kernels.reference.fp8 import FP8
from common.models.config import ModelConfig
from common.models.decoder import Decoder
from common.types.attempt import Attempt
from common.types.device import Device
from common.types.errors import StartupError
from common.types.kv import KVLayout, Pair
from common.types.sampling import Sampling
from kvtransfer.pool import pool_of
from kvtransfer.transports.contract import TransportFailed
from kvtransfer.transports.cuda.device_pool import DevicePool
from kvtransfer.transports.cuda.ipc import CudaIpcLender
from kvtransfer.transports.cuda.ipc_fetch import CudaIpcFetcher
from tests.cache.fake_driver import FakeDriver, FakeMachine
from tests.engine.attempts import attempt
from tests.engine.test_boot import Watch, configure, decode, prefill
from tests.engine.test_device_boot import WAIT_S, Start, on_device
from tests.kvtransfer.carriers import EPOCH
from tests.kvtransfer.cuda.devices import FakeQueue, hello_to
from tests.models.loop import all_logits, random_prompts
from tests.tiny import reference_logits, tiny_model

E = TypeVar("E", bound=Event)
ANSWER = 16
# of the norm of the logits. Each bit of fraction less doubles it: e4m3 has three, bfloat16 seven, float16 ten. Weights
# that are drawn make more of it than trained ones do
BOUND = {"fp8": 0.2, "bfloat16": 0.0125, "float16": 0.0016}


def logits_of(kv_dtype: str, tokens: Sequence[int], chunks: Sequence[int], name: str = "llama") -> torch.Tensor:
    return all_logits(Decoder.load(tiny_model(name), "float32", kv_dtype=kv_dtype), tokens, 5, chunks)


@pytest.mark.parametrize("chunks", [[60], [1], [17, 1, 9, 4]], ids=["whole", "token by token", "mixed"])
@pytest.mark.parametrize("name", ["llama", "llama-3to1", "qwen3", "mistral-window"])
@pytest.mark.parametrize("kv_dtype", BOUND)
def test_logits_stay_near_those_of_a_full_pool(kv_dtype: str, name: str, chunks: list[int]) -> None:
    [tokens] = random_prompts(500, (60,))
    exact = reference_logits(tiny_model(name), tokens)
    found = logits_of(kv_dtype, tokens, chunks, name)
    assert float((found - exact).norm() / exact.norm()) < BOUND[kv_dtype]


def test_a_whole_prompt_sees_what_was_computed_and_leaves_what_is_kept() -> None:
    """Attention of a prompt that sees nothing but itself loses nothing; who reads its blocks later does."""
    [tokens] = random_prompts(500, (40,))
    exact = reference_logits(tiny_model("llama"), tokens)
    torch.testing.assert_close(logits_of("fp8", tokens, [40]), exact, rtol=0, atol=1e-4)
    assert not torch.allclose(logits_of("fp8", tokens, [39, 1])[-1], exact[-1], rtol=0, atol=1e-2)


class Answers:
    """One engine with a pool of eight bits."""

    def __init__(self, machine: FakeMachine, *, lends: bool = False, kv_dtype: str = "fp8") -> None:
        self.start = Start()
        self.start.ground.driver = FakeDriver(machine)
        self.engine = self.start.boot(on_device(kv_dtype=kv_dtype), prefill if lends else decode, decodes=not lends)

    def hear(self, kind: type[E]) -> E:
        while not isinstance(event := self.start.events.get(timeout=WAIT_S), kind):
            pass
        return event

    def pool(self) -> DevicePool:
        pool = pool_of(self.engine.storage)
        assert isinstance(pool, DevicePool)
        return replace(pool, make_queue=FakeQueue)

    def close(self) -> None:
        self.engine.close()
        assert self.start.crashes.empty()


def greedy(prompt: Sequence[int]) -> Attempt:
    return attempt("a", prompt, sampling=Sampling(temperature=0.0, max_tokens=ANSWER))


def alone(prompt: Sequence[int]) -> list[int]:
    """What one engine answers by itself."""
    local = Answers(FakeMachine())
    local.engine.loop.post(SubmitLocal(greedy(prompt)))
    tokens = local.start.tokens()
    local.close()
    return tokens


def test_an_engine_answers_from_a_pool_of_eight_bits() -> None:
    [prompt] = random_prompts(500, (40,))
    tokens = alone(prompt)
    assert len(tokens) == ANSWER
    scores = reference_logits(tiny_model("llama"), [*prompt, *tokens])[len(prompt) - 1 : -1]
    lost = scores.max(dim=1).values - scores.gather(1, torch.tensor(tokens)[:, None])[:, 0]
    # never far from what the full model finds best, and mostly just that
    assert float(lost.max()) < 0.25 * float(scores.std())
    assert int((lost == 0).sum()) > ANSWER // 2


def test_answers_that_part_copy_the_block_they_share() -> None:
    [prompt] = random_prompts(500, (43,))
    both, tokens = Answers(FakeMachine()), {0: list[int](), 1: list[int]()}
    asked = attempt("a", prompt, n=2, sampling=Sampling(temperature=0.0, max_tokens=ANSWER))
    both.engine.loop.post(SubmitLocal(asked))
    while len(tokens[0]) + len(tokens[1]) < 2 * ANSWER:
        for _, token in both.hear(StepTokens).rows:
            tokens[token.choice].append(token.token_id)
    both.close()
    assert tokens[0] == tokens[1] == alone(prompt)


def test_the_same_memory_holds_four_times_as_many_tokens() -> None:
    start, other = Start(), Start()
    memory = replace(on_device(num_blocks=0, kv_memory=1 << 20), max_model_tokens=512)
    full, small = start.boot(memory), other.boot(replace(memory, kv_dtype="fp8"))
    assert small.storage.num_blocks // 4 == full.storage.num_blocks
    assert 4 * small.layout.block_bytes == full.layout.block_bytes
    assert small.storage.tensor.dtype == FP8
    [line] = [line for line in other.lines if line.startswith("KV pool")]
    assert f"{small.layout.token_bytes} bytes (fp8)" in line
    full.close()
    small.close()


async def test_blocks_of_eight_bits_are_handed_over_as_they_are() -> None:
    [prompt] = random_prompts(500, (43,))
    machine, asked = FakeMachine(), greedy(prompt)
    lender, taker = Answers(machine, lends=True), Answers(machine)
    taker.engine.loop.post(Reserve(asked))
    reserved = taker.hear(Reserved)
    lender.engine.loop.post(Submit(asked, lend=True))
    sealed = lender.hear(Sealed).manifest
    lending = CudaIpcLender(lender.pool(), EPOCH)
    await lending.start()
    fetcher = await CudaIpcFetcher.connect(lending.endpoint(), hello_to(lending, taker.pool()), taker.pool())
    pairs = [Pair(source, target) for source, target in zip(sealed.blocks, reserved.blocks, strict=True)]
    await fetcher.fetch(asked.id, pairs)
    taker.engine.loop.post(Join(asked.id, sealed.first_tokens))
    tokens = taker.start.tokens()
    await fetcher.close()
    await lending.close()
    lender.close()
    taker.close()
    assert tokens == alone(prompt)


async def test_pools_of_different_types_refuse_each_other_when_they_meet() -> None:
    machine = FakeMachine()
    lender, taker = Answers(machine, lends=True), Answers(machine, kv_dtype="auto")
    assert lender.engine.layout.fingerprint != taker.engine.layout.fingerprint
    lending = CudaIpcLender(lender.pool(), EPOCH)
    await lending.start()
    with pytest.raises(TransportFailed, match="the lender's blocks are laid out differently"):
        await CudaIpcFetcher.connect(lending.endpoint(), hello_to(lending, taker.pool()), taker.pool())
    await lending.close()
    lender.close()
    taker.close()


def test_types_of_one_size_have_layouts_of_their_own() -> None:
    config = ModelConfig.load(tiny_model("llama"))
    layouts = [config.layout(16, "m", "float16", kv_dtype) for kv_dtype in ("auto", "float16", "bfloat16", "fp8")]
    assert layouts[0] == layouts[1]
    assert len({layout.fingerprint for layout in layouts}) == 3
    assert [layout.token_bytes for layout in layouts] == [768, 768, 768, 384]


@pytest.mark.parametrize("kv_dtype", ["fp8", "bfloat16"])
def test_a_cpu_says_that_it_keeps_kv_as_it_computes(kv_dtype: str) -> None:
    refusal = rf"kv_dtype is {kv_dtype}, and the model computes in float32.*Leave kv_dtype out"
    with pytest.raises(StartupError, match=refusal):
        Watch().boot(replace(configure(), kv_dtype=kv_dtype))


def test_a_cpu_takes_the_type_it_computes_in_by_its_name() -> None:
    engine = Watch().boot(replace(configure(), kv_dtype="float32"))
    assert engine.layout.dtype == "float32"
    engine.close()


def test_blocks_that_are_no_whole_words_are_refused_with_a_fix() -> None:
    # 3 layers, 1 KV head of 20, 3 tokens: 360 bytes are words; with head_dim 6 they were not
    layout = KVLayout("m", 3, 1, 3, 6, "fp8")
    with pytest.raises(StartupError, match=r"takes 108 bytes as fp8.*multiple of 4"):
        _check_kv(layout, "bfloat16", Device("cuda"))
