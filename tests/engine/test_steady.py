"""Steps like the one before, moved on in place: whatever happens in between, equal to packing them afresh."""

import random
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from common.engine.batch import Batcher
from common.engine.plan import Further, Work
from common.engine.steady import SPARE_BLOCKS
from common.kernels.batch import Batch, Span

BLOCK = 4
NAMES = ("token_ids", "positions", "slot_blocks", "slot_offsets", "query_starts", "kv_lens", "block_tables")


def check(batcher: Batcher, works: Sequence[Work], num_decode: int | None = None) -> Batch:
    """Packs, and compares with the plain way."""
    return compare(batcher.pack(works, len(works) if num_decode is None else num_decode), works)


def compare(batch: Batch, works: Sequence[Work]) -> Batch:
    plain = Batch.pack([Span(work.token_ids, work.start, work.blocks) for work in works], BLOCK)
    for name in NAMES:
        assert torch.equal(getattr(batch, name), getattr(plain, name)), name
    assert (batch.q_lens, batch.host_kv_lens, batch.num_decode) == (plain.q_lens, plain.host_kv_lens, plain.num_decode)
    return batch


class Life:
    """One sequence as a scheduler keeps it: a table that only grows under its key."""

    keys = iter(range(1, 1 << 30))

    def __init__(self, generator: random.Random, start: int, blocks: Sequence[int] = ()) -> None:
        self.key, self.start, self.blocks, self.generator = next(self.keys), start, list(blocks), generator
        self.reach(start)

    def reach(self, num_tokens: int) -> None:
        while len(self.blocks) * BLOCK < num_tokens:
            self.blocks.append(self.generator.randrange(1000))

    def step(self, count: int = 1) -> Work:
        self.reach(self.start + count)
        work = Work(self.key, tuple(self.generator.randrange(99) for _ in range(count)), self.start, self.blocks)
        self.start += count
        return work


def lives(*starts: int) -> list[Life]:
    generator = random.Random(7)
    return [Life(generator, start) for start in starts]


def steps(batcher: Batcher, running: Sequence[Life], num: int) -> list[int]:
    """Where the token ids stood in memory at each of so many decode steps."""
    return [check(batcher, [life.step() for life in running]).token_ids.data_ptr() for _ in range(num)]


def test_the_same_sequences_go_on_in_the_same_memory() -> None:
    places = steps(Batcher(BLOCK), lives(0, 1, 40), 4)
    assert len(set(places)) == 1


def test_tables_grow_in_place_and_are_copied_where_their_spare_columns_are_full() -> None:
    batcher, running = Batcher(BLOCK), lives(1, 3, 32)
    assert len(set(steps(batcher, running, 2 * SPARE_BLOCKS * BLOCK + 9))) == 1


@pytest.mark.parametrize("num_before", [1, 2, 7])
@pytest.mark.parametrize("num_steps", [1, 5, SPARE_BLOCKS * BLOCK + 9])
def test_going_further_is_naming_every_row(num_before: int, num_steps: int) -> None:
    """Also after it, when rows are named again; and tables may change where they stand."""
    batcher, running = Batcher(BLOCK), lives(1, 3, 32)
    steps(batcher, running, num_before)
    for step in range(num_steps):
        works, entries = [life.step() for life in running], []
        if step % 7 == 3:
            running[2].blocks[step % 8] = 1000 + step
            entries.append((2, step % 8, 1000 + step))
        for row, work in enumerate(works):
            if not work.start % BLOCK:
                entries.append((row, work.start // BLOCK, work.blocks[-1]))
        token_ids = np.array([work.token_ids[0] for work in works])
        compare(batcher.go_on(Further(token_ids, tuple(entries))), works)
    for life in running:
        life.key = next(Life.keys)
    steps(batcher, running, 9)


def test_there_is_nothing_to_go_further_from() -> None:
    batcher, (life,) = Batcher(BLOCK), lives(4)
    with pytest.raises(RuntimeError, match="go on from"):
        batcher.go_on(Further(np.array([1])))
    check(batcher, [life.step(3)], 0)
    with pytest.raises(RuntimeError, match="go on from"):
        batcher.go_on(Further(np.array([1])))


@pytest.mark.parametrize("num_steps", [1, 3, 4, 9])
def test_a_preempted_sequence_comes_back_under_another_key(num_steps: int) -> None:
    """Its blocks went to others; what it had said is computed again in chunks beside those that decode."""
    batcher, (kept, preempted) = Batcher(BLOCK), lives(6, 13)
    steps(batcher, (kept, preempted), num_steps)
    steps(batcher, (kept,), num_steps)
    again = Life(random.Random(3), 0)
    while again.start < preempted.start - 1:
        count = min(5, preempted.start - 1 - again.start)
        check(batcher, [kept.step(), again.step(count)], 2 if count == 1 else 1)
    steps(batcher, (kept, again), 2 * BLOCK)


def test_a_sequence_that_sits_out_is_not_moved() -> None:
    batcher, (first, second) = Batcher(BLOCK), lives(6, 13)
    for num_steps in (1, 2, 5):
        steps(batcher, (first, second), num_steps)
        steps(batcher, (second,), num_steps)
        steps(batcher, (first, second), num_steps)


def test_the_order_counts() -> None:
    batcher, (first, second) = Batcher(BLOCK), lives(8, 8)
    steps(batcher, (first, second), 3)
    steps(batcher, (second, first), 3)


@pytest.mark.parametrize("length", [6, 7, 8, 9])
def test_forks_share_what_was_before_and_write_to_blocks_of_their_own(length: int) -> None:
    """A fork shares whole blocks; the one that was begun is copied, and brings a new key."""
    batcher, (parent,) = Batcher(BLOCK), lives(length)
    steps(batcher, (parent,), 2)
    shared = parent.blocks[: parent.start // BLOCK]
    forks = [Life(random.Random(seed), parent.start, shared) for seed in range(3)]
    works = [fork.step() for fork in forks]
    check(batcher, works)
    assert len({tuple(work.blocks) for work in works}) == 3
    steps(batcher, forks, 3)
    steps(batcher, [forks[0], forks[2]], 6)


def test_the_same_key_and_start_once_more_is_packed_afresh() -> None:
    """A step that failed and is tried again does not count as one further."""
    batcher, (life,) = Batcher(BLOCK), lives(9)
    work = life.step()
    for _ in range(3):
        check(batcher, [work])
    check(batcher, [life.step()])


def test_a_chunk_between_two_decode_steps_ends_the_steady_state() -> None:
    batcher, (life,) = Batcher(BLOCK), lives(9)
    steps(batcher, (life,), 2)
    check(batcher, [life.step(3)], 0)
    steps(batcher, (life,), 2)


def test_what_was_packed_last_is_what_moves() -> None:
    """Two batchers, as of two engines in one process, share nothing."""
    here, there = Batcher(BLOCK), Batcher(BLOCK)
    (first,), (second,) = lives(5), lives(5)
    for _ in range(6):
        steps(here, (first,), 1)
        steps(there, (second,), 1)


@pytest.mark.parametrize("seed", range(4))
def test_over_long_random_lives(seed: int) -> None:
    generator = random.Random(seed)
    batcher, running, away = Batcher(BLOCK), lives(3, 17), list[Life]()
    moved, place = 0, 0
    for _ in range(120):
        match generator.randrange(12):
            case 0 if len(running) > 1:
                away.append(running.pop(generator.randrange(len(running))))
            case 1 if away:
                running.append(away.pop())
            case 2 if len(running) < 6:
                running.append(Life(generator, generator.randrange(30)))
            case 3:
                parent = generator.choice(running)
                running.append(Life(generator, parent.start, parent.blocks[: parent.start // BLOCK]))
            case 4 if len(running) > 1:
                running.remove(generator.choice(running))
            case 5:
                generator.shuffle(running)
            case _:
                pass
        (now,) = steps(batcher, running, 1)
        moved, place = moved + (now == place), now
    assert moved > 20, "most steps allocate nothing"
