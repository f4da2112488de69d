"""One sentence for each way a fleet can be short of something, and none without a cause."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.advice import Pool, Situation, Urgency, advise

WELL = Situation(
    prefill=Pool(num_members=1, max_sequences=64),
    decode=Pool(num_members=1, used_share=0.3, num_running=8, max_sequences=64),
    num_running=8,
    ttft_ms=100.0,
    exposed_ms=1.0,
    transport="shm",
)


def decode(**changes: object) -> Situation:
    return replace(WELL, decode=replace(WELL.decode, **changes))  # type: ignore[arg-type]


def prefill(**changes: object) -> Situation:
    return replace(WELL, prefill=replace(WELL.prefill, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("now", "sentence"),
    [
        (WELL, "well: 8 run, 0 wait, decode KV 30 %"),
        (replace(WELL, num_running=0), "idle: nothing runs and nothing waits"),
        (decode(num_members=0), "down: no decode member takes work, start or resume one"),
        (
            prefill(num_members=0),
            "no prefill member takes work: decode computes prompts itself, start or resume one",
        ),
        (decode(used_share=0.94), "decode-bound: KV 94 %, add decode"),
        (decode(num_running=64, num_waiting=5), "decode-bound: 64 sequences run and 5 wait, add decode"),
        (prefill(backlog_s=4.23), "prefill-bound: 4.2 s of prompts wait, add prefill"),
        (
            replace(prefill(backlog_s=4.23), decode=Pool(num_members=3, used_share=0.12, max_sequences=64)),
            "prefill-bound: 4.2 s of prompts wait, add prefill, or turn a decode member into one: decode KV is at 12 %",
        ),
        (
            replace(WELL, relieved_share=0.25),
            "prefill-bound: decode members compute 25 % of the prompts to keep them in time, add prefill",
        ),
        (replace(WELL, relieved_share=0.05), "well: 8 run, 0 wait, decode KV 30 %"),
        (
            replace(WELL, num_refused=7, refused="queue_tokens"),
            "refusing: 7 in the last minute, most by queue_tokens",
        ),
        (replace(WELL, num_retries=3), "unsteady: 3 retries in the last minute, see which leg fails"),
        (
            decode(quarantined_share=0.08),
            "decode: 8 % of the blocks are in quarantine, copies into them do not end",
        ),
        (
            replace(WELL, exposed_ms=40.0, transport="tcp"),
            "hand-off-bound: 40 ms over tcp that nothing hides, use shm on one host",
        ),
    ],
)
def test_the_first_sentence(now: Situation, sentence: str) -> None:
    assert advise(now)[0].text == sentence


def test_both_pools_can_be_short_and_neither_is_told_to_give() -> None:
    now = replace(prefill(backlog_s=2.0, num_members=2), decode=replace(WELL.decode, used_share=0.95, num_members=2))
    assert [each.text for each in advise(now)] == [
        "decode-bound: KV 95 %, add decode",
        "prefill-bound: 2.0 s of prompts wait, add prefill",
    ]


def test_refusals_are_explained_by_the_pool_that_is_short() -> None:
    now = replace(decode(used_share=0.99), num_refused=5, refused="kv_memory")
    assert [each.urgency for each in advise(now)] == [Urgency.SHORT]


shares = st.floats(0, 1)
pools = st.builds(
    Pool, st.integers(0, 4), shares, shares, st.integers(0, 99), st.integers(0, 9), st.integers(0, 99), st.floats(0, 9)
)


@given(
    st.builds(
        Situation,
        pools,
        pools,
        st.integers(0, 99),
        st.integers(0, 99),
        st.integers(0, 9),
        st.just("requests"),
        st.integers(0, 9),
        st.floats(0, 1e4),
        st.floats(0, 1e4),
        st.sampled_from(["", "shm", "tcp"]),
    )
)
def test_there_is_always_advice_and_the_most_urgent_comes_first(now: Situation) -> None:
    order = list(Urgency)
    found = [order.index(each.urgency) for each in advise(now)]
    assert found
    assert found == sorted(found)
