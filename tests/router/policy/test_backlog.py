"""What a router knows of a member's queue between two reports."""

from hypothesis import given
from hypothesis import strategies as st

from router.policy.backlog import REPORT_LAG_S, Backlog, Outstanding


def test_the_oldest_prompt_ages_from_when_it_became_the_oldest() -> None:
    backlog = Backlog()
    backlog.add("a", 100, 1.0)
    backlog.add("b", 50, 2.0)
    assert backlog.outstanding(3.0) == Outstanding(150, 100, 2.0)
    backlog.end("a", 4.0)
    assert backlog.outstanding(5.0) == Outstanding(50, 50, 1.0)
    backlog.end("b", 5.5)
    assert backlog.outstanding(6.0) == Outstanding()
    backlog.add("c", 7, 8.0)
    assert backlog.outstanding(8.5) == Outstanding(7, 7, 0.5)


def test_an_end_in_the_middle_of_the_queue_leaves_the_oldest_alone() -> None:
    backlog = Backlog()
    for place, name in enumerate("abc"):
        backlog.add(name, 10, float(place))
    backlog.end("b", 5.0)
    assert backlog.outstanding(6.0) == Outstanding(20, 10, 6.0)


def test_who_comes_after_one_that_was_given_up_has_just_begun() -> None:
    backlog = Backlog()
    backlog.add("a", 10, 0.0)
    backlog.add("b", 20, 0.0)
    backlog.end("a")
    assert backlog.outstanding(7.0) == Outstanding(20, 20, 0.0)
    assert backlog.outstanding(8.0) == Outstanding(20, 20, 1.0)


def test_nothing_is_done_where_no_time_is_told() -> None:
    backlog = Backlog()
    backlog.add("a", 10, 0.0)
    assert backlog.outstanding(None) == Outstanding(10, 10, 0.0)


def test_a_prompt_without_tokens_is_none() -> None:
    backlog = Backlog()
    backlog.add("a", 0, 0.0)
    backlog.end("a", 1.0)
    assert backlog.outstanding(1.0) == Outstanding()


def test_a_report_may_still_count_what_has_just_ended() -> None:
    backlog = Backlog()
    backlog.add("a", 10, 0.0)
    backlog.add("b", 20, 0.0)
    backlog.end("a", 1.0)
    assert backlog.reportable_tokens(1.0 + REPORT_LAG_S / 2) == 30
    assert backlog.reportable_tokens(1.0 + 2 * REPORT_LAG_S) == 20
    backlog.end("b")
    assert backlog.reportable_tokens(2.0) == 0


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 99), st.floats(0, 1)), max_size=40))
def test_its_sums_are_those_of_a_plain_list(steps: list[tuple[bool, int, int, float]]) -> None:
    backlog, plain, now = Backlog(), dict[int, int](), 0.0
    for adds, name, num_tokens, pause in steps:
        now += pause
        if adds and name not in plain:
            backlog.add(name, num_tokens, now)
            if num_tokens:
                plain[name] = num_tokens
        else:
            backlog.end(name, now if num_tokens % 2 else None)
            plain.pop(name, None)
        seen = backlog.outstanding(now)
        assert seen.num_tokens == sum(plain.values())
        assert seen.head_tokens == next(iter(plain.values()), 0)
        assert 0.0 <= seen.head_s <= now
        assert backlog.reportable_tokens(now) >= seen.num_tokens
