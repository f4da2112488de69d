"""Block tables: opened, grown, forked, merged and freed without losing count."""

from common.cache.pool import PoolCounts
from common.engine.messages import PrefixChanged
from common.engine.sequence import Sequence
from common.engine.tables import BlockTables
from tests.engine.attempts import attempt, tables


def opened(held: BlockTables, token_ids: range, salt: bytes = b"") -> Sequence:
    sequence = held.sequence(attempt("a", token_ids, salt=salt))
    assert held.open(sequence, len(sequence.tokens))
    return sequence


def computed(held: BlockTables, sequence: Sequence, merge: bool = True) -> None:
    sequence.num_computed = len(sequence.tokens)
    held.publish(sequence, merge)


def test_open_takes_all_blocks_at_once_or_none() -> None:
    held = tables(num_blocks=4)
    sequence = opened(held, range(9))
    assert (len(sequence.blocks), sequence.num_computed) == (3, 0)
    other = held.sequence(attempt("b", range(5)))
    assert not held.open(other, 5)
    assert other.blocks == []
    assert held.pool.counts() == PoolCounts(1, 0, 3, 0, 0)


def test_spare_blocks_must_be_left_over() -> None:
    held = tables(num_blocks=4)
    sequence = held.sequence(attempt("a", range(9)))
    assert not held.open(sequence, 0, num_spare=2)
    assert held.open(sequence, 0, num_spare=1)


def test_hits_are_capped_and_count_as_room_only_once() -> None:
    held = tables(num_blocks=3)
    first = opened(held, range(12))
    computed(held, first)
    held.free(first)
    assert held.pool.counts().num_cached == 3
    again = held.sequence(attempt("b", range(12)))
    assert held.open(again, 11)
    assert (again.num_computed, again.num_published) == (8, 2)
    assert again.blocks[:2] == [0, 1]
    longer = held.sequence(attempt("c", range(13)))
    held.free(again)
    assert not held.open(longer, 13), "its own hits would have to make room for it"
    held.pool.check()


def test_growth_keeps_the_key_and_everything_else_changes_it() -> None:
    held = tables(num_blocks=8)
    sequence = opened(held, range(4))
    computed(held, sequence)
    key = sequence.key
    assert held.make_room(sequence, 5) == (True, None)
    assert (len(sequence.blocks), sequence.key) == (2, key)
    assert held.make_room(sequence, 8) == (True, None)
    assert len(sequence.blocks) == 2
    held.free(sequence)
    assert held.open(sequence, 0)
    assert sequence.key != key


def test_a_fork_copies_the_shared_block_once_less_than_there_are_forks() -> None:
    held = tables(num_blocks=8)
    parent = opened(held, range(6))
    computed(held, parent)
    forks = [held.fork(parent, choice, (9,)) for choice in range(3)]
    held.free(parent)
    assert held.pool.counts().num_owned == 2
    keys = [fork.key for fork in forks]
    assert [fork.num_published for fork in forks] == [1, 1, 1]
    rooms = [held.make_room(fork, 7) for fork in forks]
    assert rooms == [(True, (1, 2)), (True, (1, 3)), (True, None)]
    assert [fork.blocks for fork in forks] == [[0, 2], [0, 3], [0, 1]]
    assert [fork.key == key for fork, key in zip(forks, keys, strict=True)] == [False, False, True]
    assert len({fork.key for fork in forks}) == 3
    held.settle()
    for fork in forks:
        held.free(fork)
    assert held.pool.counts() == PoolCounts(7, 1, 0, 0, 0)


def test_the_source_of_a_copy_outlives_its_owner_until_the_step_is_over() -> None:
    held = tables(num_blocks=3)
    parent = opened(held, range(2))
    one, two = held.fork(parent, 0, (9,)), held.fork(parent, 1, (9,))
    held.free(parent)
    one.num_computed = two.num_computed = 2
    assert held.make_room(one, 3).copy == (0, 1)
    held.free(two)
    assert held.pool.allocate(2) is None
    held.settle()
    held.settle()
    assert held.pool.allocate(2) == [0, 2]


def test_no_room_changes_nothing() -> None:
    held = tables(num_blocks=2)
    parent = opened(held, range(6))
    computed(held, parent)
    fork = held.fork(parent, 0, (9,))
    before = (list(fork.blocks), fork.key, held.pool.counts())
    assert held.make_room(fork, 7) == (False, None)
    assert (fork.blocks, fork.key, held.pool.counts()) == before
    held.settle()
    held.pool.check()


def test_merging_gives_the_own_copy_back() -> None:
    held = tables(num_blocks=9)
    one, two, three = (opened(held, range(9)) for _ in range(3))
    computed(held, one)
    key = two.key
    computed(held, two)
    assert two.blocks[:2] == one.blocks[:2]
    assert two.blocks[2] != one.blocks[2]
    assert two.key != key
    assert held.pool.counts().num_owned == 7
    own = list(three.blocks)
    computed(held, three, merge=False)
    assert three.blocks == own


def test_changes_are_told_once() -> None:
    held = tables(num_blocks=2)
    sequence = opened(held, range(8))
    assert held.changes() == ()
    computed(held, sequence)
    [told] = held.changes()
    assert len(told.added) == 2
    assert held.changes() == ()
    held.free(sequence)
    opened(held, range(8), salt=b"other")
    assert held.changes() == (PrefixChanged((), told.added[::-1]),)


def test_quarantine_keeps_what_a_fetch_may_write() -> None:
    held = tables(num_blocks=8)
    computed(held, opened(held, range(8)))
    sequence = opened(held, range(11))
    assert sequence.num_published == 2
    held.quarantine(sequence)
    assert len(sequence.blocks) == 1
    assert held.pool.counts().num_quarantined == 1
    held.free(sequence)
    assert held.pool.counts().num_quarantined == 0
    held.pool.check()
