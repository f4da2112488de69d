"""Every type that crosses the wire, by hypothesis, within the bounds the wire has."""

from hypothesis import strategies as st

from common.net import wire
from common.types.attempt import Attempt, Choice
from common.types.constraint import Constraint, ConstraintKind
from common.types.ids import AttemptId, Role
from common.types.kv import BlockRef, Manifest
from common.types.member import Carried, DeviceLoad, FetchTotals, Hello, Load, StepTotals
from common.types.sampling import FinishReason, SampledToken, Sampling, TokenLogprobs

U32, U64 = wire.MAX_U32, wire.MAX_U64
token = st.integers(0, wire.MAX_TOKEN_ID)
names = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20)
words = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=20)


def reals(low: float, high: float) -> st.SearchStrategy[float]:
    """What a float on the wire can hold."""
    return st.floats(low, high, width=32, allow_subnormal=False)


def some(element: st.SearchStrategy[int], size: int = 6) -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(element, max_size=size).map(tuple)


attempt_ids = st.builds(AttemptId, names, st.integers(1, U32))
logprobs = st.builds(
    TokenLogprobs,
    token,
    st.floats(max_value=0, width=32),
    st.lists(st.tuples(token, st.floats(max_value=0, width=32)), max_size=3).map(tuple),
)
sampled_tokens = st.builds(
    SampledToken,
    st.integers(0, wire.MAX_CHOICES - 1),
    st.integers(0, wire.MAX_TOKENS),
    token,
    st.none() | logprobs,
    st.none() | st.sampled_from(FinishReason),
)
constraints = st.builds(Constraint, st.sampled_from(ConstraintKind), st.text(max_size=40))
first_tokens = st.lists(sampled_tokens, max_size=4, unique_by=lambda token: token.choice).map(tuple)


@st.composite
def samplings(draw: st.DrawFn) -> Sampling:
    biases = draw(st.dictionaries(token, reals(-1000, 1000), max_size=4))
    max_tokens = draw(st.integers(1, wire.MAX_TOKENS))
    return Sampling(
        seed=draw(st.integers(0, U64)),
        temperature=draw(reals(0, 100)),
        top_k=draw(token),
        top_p=draw(reals(2**-20, 1)),
        min_p=draw(reals(0, 1)),
        repetition_penalty=draw(reals(2**-7, 100)),
        presence_penalty=draw(reals(-100, 100)),
        frequency_penalty=draw(reals(-100, 100)),
        logit_bias=tuple(sorted(biases.items())),
        max_tokens=max_tokens,
        min_tokens=draw(st.integers(0, max_tokens)),
        stop_token_ids=draw(some(token)),
        logprobs=draw(st.none() | st.integers(0, wire.MAX_TOP_LOGPROBS)),
        prompt_logprobs=draw(st.none() | st.integers(0, wire.MAX_TOP_LOGPROBS)),
        constraint=draw(st.none() | constraints),
    )


@st.composite
def attempts(draw: st.DrawFn) -> Attempt:
    token_ids = draw(st.lists(token, min_size=1, max_size=20).map(tuple))
    indices = draw(st.lists(st.integers(0, wire.MAX_CHOICES - 1), min_size=1, max_size=4, unique=True))
    return Attempt(
        draw(attempt_ids),
        token_ids,
        draw(st.integers(1, len(token_ids))),
        tuple(Choice(index, draw(some(token))) for index in indices),
        draw(samplings()),
        draw(st.binary(max_size=wire.MAX_SALT_BYTES)),
        draw(st.just("") | names),
    )


block_refs = st.builds(BlockRef, st.integers(0, wire.MAX_BLOCK), st.integers(1, U64), st.integers(0, U64))
manifests = st.builds(
    Manifest,
    attempt_ids,
    names,
    st.integers(1, wire.MAX_TOKENS),
    st.lists(block_refs, min_size=1, max_size=4).map(tuple),
    first_tokens,
)
hellos = st.builds(
    Hello,
    member=names,
    role=st.sampled_from(Role),
    address=names,
    epoch=st.integers(1, U64),
    model=words,
    model_fingerprint=names,
    layout=names,
    protocol=st.integers(1, U32),
    block_tokens=st.integers(1, 1 << 16),
    block_bytes=st.integers(1, 1 << 40),
    num_blocks=st.integers(1, wire.MAX_BLOCK),
    max_sequences=st.integers(1, 1 << 20),
    max_model_tokens=st.integers(1, wire.MAX_TOKEN_ID),
    transports=st.lists(names, max_size=3).map(tuple),
    cache_key_id=names,
)
some_blocks = st.integers(0, wire.MAX_BLOCK // 5)
some_seconds = st.floats(0, 1e15)
counts = st.integers(0, U64)
steps = st.builds(StepTotals, counts, some_seconds, some_seconds, counts, counts, counts, counts, counts)
carried = st.lists(
    st.builds(Carried, names, counts, counts, some_seconds), max_size=3, unique_by=lambda each: each.transport
).map(tuple)
loads = st.builds(
    Load,
    sequence=st.integers(0, U64),
    num_free_blocks=some_blocks,
    num_cached_blocks=some_blocks,
    num_quarantined_blocks=some_blocks,
    num_running=st.integers(0, U32),
    num_waiting=st.integers(0, U32),
    backlog_tokens=st.integers(0, U64),
    prefill_tokens_per_s=st.floats(0, 1e15),
    step_ms=st.floats(0, 1e15),
    fetch_bytes_per_s=st.floats(0, 1e18),
    added_hashes=some(st.integers(0, U64)),
    removed_hashes=some(st.integers(0, U64)),
    drained=st.booleans(),
    draining=st.booleans(),
    num_owned_blocks=some_blocks,
    num_sealed_blocks=some_blocks,
    oldest_cached_s=some_seconds,
    oldest_quarantined_s=some_seconds,
    steps=steps,
    fetches=st.builds(FetchTotals, carried, counts, counts),
    device=st.none() | st.builds(DeviceLoad, counts, counts, st.floats(0, 1), counts),
)
rows = st.lists(st.tuples(st.integers(1, U64), sampled_tokens), max_size=8).map(tuple)
