"""Names of calls: long ones, short ones, and foreign ones shortened."""

import string

from common.text.tools.ids import new_call_id, new_short_call_id, short_call_id

ALLOWED = frozenset(string.ascii_letters + string.digits)


def test_new_ids_are_random_and_of_their_form() -> None:
    long, short = {new_call_id() for _ in range(99)}, {new_short_call_id() for _ in range(99)}
    assert len(long) == len(short) == 99
    assert all(id.startswith("call_") and len(id) == 29 and ALLOWED.issuperset(id[5:]) for id in long)
    assert all(len(id) == 9 and ALLOWED.issuperset(id) for id in short)


def test_a_short_id_stays_and_a_foreign_one_is_always_shortened_alike() -> None:
    assert short_call_id("abcDEF123") == "abcDEF123"
    shortened = short_call_id("call_abcdefghijklmnopqrstuvwx")
    assert len(shortened) == 9
    assert ALLOWED.issuperset(shortened)
    assert shortened == short_call_id("call_abcdefghijklmnopqrstuvwx")
    assert shortened != short_call_id("call_abcdefghijklmnopqrstuvwy")
    assert len(short_call_id("\ud800")) == 9
