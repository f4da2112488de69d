"""The small worlds worth exploring, from seconds to as long as one likes. `tests/handoff` explores the first few."""

from dataclasses import dataclass

from loadtest.simulator.explorer import World
from loadtest.simulator.small_world import Size, small_world

ONE = Size(num_blocks=1, prefill_pool=1, decode_pool=1)
LONG = Size(num_blocks=1, num_tokens=3, prefill_pool=1, decode_pool=1)
TWO = Size(num_blocks=2, prefill_pool=2, decode_pool=2)
PAIR = Size(("a", "b"), num_blocks=1, prefill_pool=1, decode_pool=1)
PAIR_ONCE = Size(("a", "b"), num_blocks=1, max_attempts=1, prefill_pool=1, decode_pool=1)
PAIR_ONE_DECODE = Size(("a", "b"), num_blocks=1, num_decode=1, prefill_pool=1, decode_pool=1)
PAIR_OF_TWO = Size(("a", "b"), num_blocks=2, prefill_pool=3, decode_pool=3)


@dataclass(frozen=True, slots=True)
class Named:
    """A world and what it shows."""

    name: str
    world: World


WORLDS = (
    Named("1 request, 1 block, 1 crash", small_world(ONE)),
    Named("1 request, 1 block, 1 crash, no checksums", small_world(ONE, checksums=False)),
    Named("1 request, 2 blocks", small_world(TWO, max_crashes=0)),
    Named("1 request, 1 block, 3 tokens, local prefill", small_world(LONG, local=True, max_crashes=0)),
    Named("1 request, 1 block, 2 crashes", small_world(ONE, max_crashes=2)),
    Named("1 request, 2 blocks, no checksums", small_world(TWO, checksums=False, max_crashes=0)),
    Named("1 request, 2 blocks, 1 crash", small_world(TWO)),
    Named("2 requests, 1 attempt each", small_world(PAIR_ONCE, max_crashes=0)),
    Named("2 requests, 1 attempt each, 1 crash", small_world(PAIR_ONCE)),
    Named("2 requests, no trouble", small_world(PAIR_OF_TWO, max_crashes=0, max_troubles=0)),
    Named("2 requests, 1 decode member, 2 troubles", small_world(PAIR_ONE_DECODE, max_crashes=0, max_troubles=2)),
    Named("2 requests, 2 troubles", small_world(PAIR, max_crashes=0, max_troubles=2)),
    Named("2 requests, any trouble", small_world(PAIR, max_crashes=0)),
)
