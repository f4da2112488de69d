"""The fleet that is explored: one router, one prefill worker, two decode workers, memory for one try or two."""

from dataclasses import dataclass

from common.types.attempt import Attempt, Choice
from common.types.ids import AttemptId
from common.types.sampling import FinishReason, SampledToken, Sampling
from common.types.timeouts import Timeouts
from kvtransfer.handoff.steps import MemberId
from loadtest.simulator.events import Site
from loadtest.simulator.explorer import World
from loadtest.simulator.prefill_site import PrefillSite
from loadtest.simulator.router_site import RouterSite
from loadtest.simulator.rules import HONEST, Rules
from loadtest.simulator.words import Content

LAYOUT = "small"
BLOCK_TOKENS = 4
REMAINING_S = 1000.0


@dataclass(frozen=True, slots=True)
class LabelTruth:
    """Every block is labelled with its attempt, every token with its attempt and index: the strictest comparison.

    Without `checksums` every copy looks right, and only the lender's verdict stands between garbage and the client.
    """

    checksums: bool = True
    layout: str = LAYOUT
    block_tokens: int = BLOCK_TOKENS

    def content(self, attempt: Attempt, place: int) -> Content:
        return (attempt.id.request_id, attempt.id.number, place)

    def checksum(self, content: Content) -> int:
        if content is None or not self.checksums:
            return 0
        request_id, number, place = content
        return ord(str(request_id)[-1]) * 100 + int(str(number)) * 10 + int(str(place))

    def token(
        self, attempt: Attempt, contents: tuple[Content, ...], choice: int, output: tuple[int, ...]
    ) -> SampledToken:
        index = len(output)
        last = index + 1 >= attempt.sampling.max_tokens
        return SampledToken(
            choice, index, 100 * attempt.id.number + index, finish=FinishReason.LENGTH if last else None
        )


@dataclass(frozen=True, slots=True)
class Size:
    """How large the small world is."""

    requests: tuple[str, ...] = ("a",)
    num_blocks: int = 2
    num_tokens: int = 2
    max_attempts: int = 2
    num_decode: int = 2
    prefill_pool: int = 2
    decode_pool: int = 2


SMALL = Size()


def small_world(
    size: Size = SMALL,
    rules: Rules = HONEST,
    *,
    checksums: bool = True,
    local: bool = False,
    max_crashes: int = 1,
    deaf_to_epochs: bool = False,
    forgetting: bool = True,
    max_troubles: int | None = None,
) -> World:
    """Puts the sites together; a process that crashed comes back empty, a router without its requests."""
    timeouts = Timeouts()
    truth = LabelTruth(checksums)

    def router(me: MemberId, before: Site | None) -> Site:
        site = RouterSite(me)
        for request_id in size.requests if before is None else ():
            prompt = tuple(range(size.num_blocks * BLOCK_TOKENS - BLOCK_TOKENS + 1))
            sampling = Sampling(max_tokens=size.num_tokens)
            attempt = Attempt(AttemptId(request_id, 1), prompt, len(prompt), (Choice(0),), sampling)
            site.admit(rules.run(attempt, 0.0, REMAINING_S, size.max_attempts), 0.0)
        return site

    def prefill(me: MemberId, before: Site | None) -> Site:
        dead = before if isinstance(before, PrefillSite) else None
        return PrefillSite(me, truth, rules.lender(timeouts), size.prefill_pool, dead)

    def decode(me: MemberId, before: Site | None) -> Site:
        return rules.decode(me, truth, rules.lander(LAYOUT, timeouts), size.decode_pool)

    decodes = tuple((f"D{number}", decode) for number in range(1, size.num_decode + 1))
    boot = (("R", router), ("P", prefill), *decodes)
    return World(boot, checksums, local, max_crashes, deaf_to_epochs, forgetting, max_troubles)
