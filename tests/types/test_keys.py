"""Key files: every line means one thing or is refused; a written key is read back."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.types.keys import PREFIX, BadKeyLine, Key, digest_of, fleet_key, line_of, new_key, parse_keys

HASH = f"sha256:{digest_of('k').hex()}"
OTHER = f"sha256:{digest_of('other').hex()}"
ids = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
rates = st.integers(0, 10**9)
keys = st.builds(Key, ids, st.binary(min_size=32, max_size=32), st.booleans(), rates, rates, st.just("") | ids)


@given(st.lists(keys, max_size=5, unique_by=(lambda key: key.id, lambda key: key.digest)))
def test_what_is_written_is_read(found: list[Key]) -> None:
    assert parse_keys("".join(line_of(key) + "\n" for key in found)) == tuple(found)


def test_remarks_and_empty_lines_mean_nothing() -> None:
    text = f"# all of them\n\nalice {HASH} requests=5  # on probation\n\t\n"
    assert parse_keys(text) == (Key("alice", digest_of("k"), requests_per_min=5),)
    assert parse_keys("") == ()


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("alice", 1),
        (f"ali/ce {HASH}", 1),
        ("alice sha256:123", 1),
        (f"alice md5:{'0' * 64}", 1),
        (f"alice {HASH} root", 1),
        (f"alice {HASH} requests=0", 1),
        (f"alice {HASH} requests=1.5", 1),
        (f"alice {HASH} tokens=-1", 1),
        (f"alice {HASH} tokens", 1),
        (f"alice {HASH} admin=yes", 1),
        (f"alice {HASH} admin admin", 1),
        (f"alice {HASH} tenant=a/b", 1),
        (f"alice {HASH} tenant=", 1),
        (f"# one\nalice {HASH}\nalice {OTHER}", 3),
        (f"alice {HASH}\nbob {HASH}", 2),
    ],
)
def test_a_line_that_means_nothing_is_named(text: str, number: int) -> None:
    with pytest.raises(BadKeyLine) as caught:
        parse_keys(text)
    assert caught.value.number == number


@given(st.text(max_size=200))
def test_any_other_text_is_refused_in_the_same_way(text: str) -> None:
    with contextlib.suppress(BadKeyLine):
        parse_keys(text)


def test_nothing_that_is_kept_tells_the_key() -> None:
    text = new_key()
    key = Key("alice", digest_of(text), tenant="acme")
    assert text.startswith(PREFIX)
    assert text not in line_of(key) + repr(key)
    assert key.salt != Key("alice", digest_of(text)).salt
    assert "secret" not in fleet_key("secret")
    assert fleet_key("secret") != fleet_key("secret2")
