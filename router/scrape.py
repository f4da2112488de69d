"""Everything a scrape of the router shows, its members included, read at that moment from who owns it.

A member that has left is not in the fleet, and so its series are gone. Knows nothing of HTTP.
"""

from collections import Counter
from collections.abc import Iterator, Mapping

from common.obs.exposition import Sample
from common.obs.latency import Latency
from common.obs.member_samples import member_samples
from common.types.ids import Role
from router.fleet import FleetView
from router.membership import Membership
from router.policy.route import Reason
from router.serving import Serving
from router.situation import used_share
from router.tally import ANSWERED, CANCELLED, CAPACITY, FAILED, LEGS, Tally

REASONS = (*CAPACITY, "key", "key_requests", "key_tokens", "invalid", "not_found", "unavailable")
"""Always shown, so that a rate over a series is there before its first event."""


def scrape(serving: Serving, fleet: FleetView) -> Iterator[Sample]:
    """Call it on the event loop."""
    members = fleet.members()
    yield Sample("baton_ready", serving.ready)
    yield from _members(members)
    yield from _requests(serving)
    yield from _attempts(serving.tally)
    for each in members:
        yield from member_samples(each.hello.member, each.hello.role, each.load, draining=each.draining)
    yield from _aliases(serving, members)


def _members(members: tuple[Membership, ...]) -> Iterator[Sample]:
    counts = Counter((each.hello.role, each.draining) for each in members)
    for role in Role:
        yield Sample("baton_members", counts[role, False], (role.value, "serving"))
        yield Sample("baton_members", counts[role, True], (role.value, "draining"))


def _requests(serving: Serving) -> Iterator[Sample]:
    tally, admission = serving.tally, serving.admission
    yield Sample("baton_requests_admitted_total", tally.num_admitted)
    yield from _counts("baton_requests_refused_total", tally.refused, REASONS)
    yield from _counts("baton_requests_ended_total", tally.ended, (ANSWERED, FAILED, CANCELLED))
    for (leg, code), count in sorted(tally.errors.items()):
        yield Sample("baton_request_errors_total", count, (leg, code))
    yield Sample("baton_requests_waiting", admission.num_waiting)
    yield Sample("baton_requests_running", admission.num_requests - admission.num_waiting)
    yield Sample("baton_queue_tokens", admission.num_waiting_tokens)
    yield Sample("baton_held_tokens", admission.num_held_tokens)
    yield Sample("baton_prompt_tokens_total", tally.num_prompt_tokens)
    yield Sample("baton_cached_tokens_total", tally.num_cached_tokens)
    yield Sample("baton_output_tokens_total", tally.num_output_tokens)
    yield _times("baton_ttft_seconds", tally.ttft)
    yield _times("baton_itl_seconds", tally.itl)
    yield _times("baton_tpot_seconds", tally.tpot)
    yield _times("baton_e2e_seconds", tally.e2e)
    for leg in LEGS:
        yield _times("baton_leg_seconds", tally.legs[leg], leg)


def _attempts(tally: Tally) -> Iterator[Sample]:
    yield from _counts("baton_attempts_total", tally.attempts, ("handoff", "local"))
    for reason in Reason:
        yield Sample("baton_local_attempts_total", tally.local[reason], (reason.value,))
    for (leg, cause), count in sorted(tally.leg_failures.items()):
        yield Sample("baton_leg_failures_total", count, (leg, cause))
    yield from _counts("baton_retries_total", tally.retries, [role.value for role in Role])
    yield Sample("baton_continuations_total", tally.num_continuations)
    for transport, handoffs in sorted(tally.handoffs.items()):
        yield Sample("baton_handoffs_total", handoffs.num, (transport,))
        yield Sample("baton_handoff_bytes_total", handoffs.num_bytes, (transport,))
        yield _times("baton_handoff_copy_seconds", handoffs.copy, transport)
        yield _times("baton_handoff_exposed_seconds", handoffs.exposed, transport)


def _aliases(serving: Serving, members: tuple[Membership, ...]) -> Iterator[Sample]:
    """Under the names others look for, with the label they expect."""
    tally, admission, model = serving.tally, serving.admission, (serving.model.id,)
    yield Sample("vllm:num_requests_running", admission.num_requests - admission.num_waiting, model)
    yield Sample("vllm:num_requests_waiting", admission.num_waiting, model)
    decode = [each for each in members if each.hello.role is Role.DECODE]
    yield Sample("vllm:kv_cache_usage_perc", used_share(decode), model)
    yield _times("vllm:time_to_first_token_seconds", tally.ttft, *model)
    yield _times("vllm:inter_token_latency_seconds", tally.itl, *model)
    yield _times("vllm:time_per_output_token_seconds", tally.itl, *model)
    yield _times("vllm:request_time_per_output_token_seconds", tally.tpot, *model)
    yield _times("vllm:e2e_request_latency_seconds", tally.e2e, *model)
    yield Sample("vllm:prompt_tokens_total", tally.num_prompt_tokens, model)
    yield Sample("vllm:generation_tokens_total", tally.num_output_tokens, model)
    yield Sample("vllm:prefix_cache_queries_total", tally.num_prompt_tokens, model)
    yield Sample("vllm:prefix_cache_hits_total", tally.num_cached_tokens, model)


def _times(name: str, latency: Latency, *labels: str) -> Sample:
    return Sample(name, latency.counts(), labels)


def _counts(name: str, counts: Mapping[str, int], always: tuple[str, ...] | list[str]) -> Iterator[Sample]:
    for label in sorted({*counts, *always}):
        yield Sample(name, counts.get(label, 0), (label,))
