"""What is kept, and what goes first."""

from hypothesis import given
from hypothesis import strategies as st

from common.text.shelf import Shelf


def test_the_longest_unused_goes_first() -> None:
    shelf: Shelf[str, int] = Shelf(2, 100)
    shelf.put("a", 1, 10)
    shelf.put("b", 2, 10)
    assert shelf.get("a") == 1
    shelf.put("c", 3, 10)
    assert (shelf.get("a"), shelf.get("b"), shelf.get("c")) == (1, None, 3)


def test_size_counts_and_what_is_too_large_alone_is_not_kept() -> None:
    shelf: Shelf[str, int] = Shelf(9, 100)
    shelf.put("a", 1, 60)
    shelf.put("b", 2, 60)
    assert (shelf.get("a"), shelf.get("b"), shelf.size) == (None, 2, 60)
    shelf.put("b", 3, 101)
    assert (shelf.get("b"), shelf.size, len(shelf)) == (None, 0, 0)
    shelf.remove("b")


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 12))))
def test_both_bounds_hold_whatever_is_put(steps: list[tuple[int, int]]) -> None:
    shelf: Shelf[int, int] = Shelf(4, 20)
    for key, size in steps:
        shelf.put(key, size, size)
        assert shelf.get(key) == size
        assert len(shelf) <= 4
        assert 0 <= shelf.size <= 20
